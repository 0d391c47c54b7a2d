package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel/bpfpath"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/watch"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/logtest"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/plugin"
)

// pairedPlane is a plane of two hosts, each of which hears at once what the other sets.
type pairedPlane struct {
	*fakeCluster
	self  cluster.Host
	other *pairedPlane
}

func (p *pairedPlane) Set(own cluster.Local) error {
	if err := p.fakeCluster.Set(own); err != nil {
		return err
	}
	host := p.self
	var err error
	if host.Memberships, err = cluster.Canonical(own.Memberships); err != nil {
		return err
	}
	p.other.mu.Lock()
	defer p.other.mu.Unlock()
	before := p.other.shown
	p.other.shown = before.With(host)
	p.other.shown.Sequence = before.Sequence + 1
	p.other.notifyLocked()
	return nil
}

// Confirm waits until the other host follows what this one has set.
func (p *pairedPlane) Confirm(ctx context.Context, _ cluster.NetworkKey) (silent []string) {
	select {
	case p.other.ackRequested <- struct{}{}:
	default:
	}
	p.other.mu.Lock()
	want, isMember := p.other.shown.Sequence, len(p.other.calls.own) > 0
	p.other.mu.Unlock()
	for isMember && p.other.seen().followed < want {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return []string{p.other.self.Name}
		}
	}
	return nil
}

// realHost is a host in a namespace, with an agent that encrypts.
type realHost struct {
	*Agent
	t          *testing.T
	ns         string
	sh         func(string) string
	vtep       netip.Addr
	network    string
	plane      *pairedPlane
	plugin     *plugin.Plugin
	programs   *bpfpath.Programs // nil: none
	containers []string          // their namespaces
	stopAgent  func()
	dirs       string
	log        *logtest.Buffer
}

// directAgent is the agent as the plugin of its host asks it.
type directAgent struct{ h *realHost }

func (d directAgent) ask(q agentapi.Request) (agentapi.Response, error) {
	r := d.h.handleRequest(d.h.t.Context(), q)
	if r.Warning != "" {
		d.h.t.Errorf("%s: %s", d.h.vtep, r.Warning)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

func (d directAgent) Sync(network string) error {
	_, err := d.ask(agentapi.Request{Verb: agentapi.VerbSync, Network: network})
	return err
}

func (d directAgent) EndpointAdded(network, container string) (bool, error) {
	r, err := d.ask(agentapi.Request{Verb: agentapi.VerbSync, Network: network, Container: container})
	return r.Announces, err
}

func (d directAgent) AssignAddresses(_, _ string, _ []netip.Addr) ([]netip.Addr, error) {
	return nil, errors.New("not on this network")
}

func (d directAgent) Joining(network string, vni uint32, port uint16, vtep netip.Addr) {
	_, _ = d.ask(agentapi.Request{Verb: agentapi.VerbJoining,
		Joining: &agentapi.JoiningRequest{Network: network, VNI: vni, Port: port, VTEP: vtep}})
}

func (d directAgent) Define(config, _ []byte) ([]byte, error) { return config, nil }

func (d directAgent) StoreChanged() { _, _ = d.ask(agentapi.Request{Verb: agentapi.VerbStoreChanged}) }

// run makes the name of a test's devices one that no other test's process has: their sockets are found by name in all
// namespaces.
var run atomic.Int32

// newRealHosts makes two hosts on one underlay.
func newRealHosts(t *testing.T, encryption string, withPrograms bool) (hosts [2]*realHost) {
	t.Helper()
	number := run.Add(1)
	for i := range hosts {
		name := fmt.Sprintf("k%d-%d-%d", os.Getpid()%10000, number, i)
		h := &realHost{t: t, ns: netnstest.New(t), log: new(logtest.Buffer)}
		h.vtep = netip.AddrFrom4([4]byte{198, 18, 0, byte(10 + i)})
		h.sh = netnstest.Shell(t, h.ns)
		h.network = fmt.Sprintf(`{"name": %q, "driver": "vxlan", "id": %q, "network_interface": "br-blue",
			"options": {"vni": "100", "local_ip": %q, "remote_ips": "198.18.0.10,198.18.0.11",
				"physical_interface": "eth0", "encryption": %q},
			"subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}],
			"dns_enabled": true, "internal": false, "ipv6_enabled": false}`, name, name, h.vtep, encryption)
		self := cluster.Host{ID: cluster.HostID{byte(i + 1)}, Name: fmt.Sprint("host-", i), Addr: h.vtep}
		h.plane = &pairedPlane{fakeCluster: newFakeCluster(), self: self}
		h.plane.synced, h.plane.members = true, 2
		hosts[i] = h
	}
	hosts[0].plane.other, hosts[1].plane.other = hosts[1].plane, hosts[0].plane
	joinNamespaces(t, hosts[0].ns, hosts[1].ns)
	for _, h := range hosts {
		h.sh(fmt.Sprintf("ip link set lo up; ip link set eth0 up; ip address add %s/24 dev eth0", h.vtep))
	}
	for _, h := range hosts {
		h.startAgent(withPrograms)
	}
	return hosts
}

// joinNamespaces connects two namespaces by their eth0.
func joinNamespaces(t *testing.T, a, b string) {
	t.Helper()
	other, err := netns.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = netns.Do(a, func() error {
		cmd := exec.Command("ip", strings.Fields("link add eth0 type veth peer name eth0 netns /proc/self/fd/3")...)
		cmd.ExtraFiles = []*os.File{other}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *realHost) startAgent(withPrograms bool) {
	h.t.Helper()
	c, err := config.Parse("")
	if err != nil {
		h.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	names := dns.New(log)
	h.t.Cleanup(names.Close)
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	h.Agent = &Agent{
		Host: &hoststate.Host{
			Open: h.open, StoreDir: h.dir("store"), NetworksDir: h.dir("networks"), SysctlDir: h.dir("sysctl"),
			Zones: noFirewalld{}, Warn: func(message string) { h.t.Log(message) },
		},
		Config: c, Names: inNamespaceNames{names, h.ns}, Process: new(fakeProcess),
		Plane: cluster.Kind{Name: "made up", PerAddress: true, Carries: gossip.Carries,
			New: func(netip.Addr) (cluster.Plane, error) { return h.plane, nil }},
		ResolvConf: filepath.Join(h.t.TempDir(), "resolv.conf"), Version: "test", Log: log, StayWhenIdle: true,
		WireGuard: &wireguard.Host{Namespace: h.ns, Log: log,
			Start: wireguard.Launcher{Program: self, Namespace: h.ns, Log: os.Stderr}.Start},
	}
	if withPrograms {
		h.usePrograms()
	}
	h.prepareParts()
	h.plugin = &plugin.Plugin{Host: h.Host, Agent: directAgent{h}}
	ctx, cancel := context.WithCancel(context.Background())
	var on loopEvents // what else there is, nobody changes
	err = netns.DoIn(h.ns, func() (err error) {
		on.kernel, on.deleted, err = watch.Changes(ctx)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	ended, a := make(chan error, 1), h.Agent
	go func() { ended <- a.runLoop(ctx, on) }()
	h.stopAgent = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
		a.clusters.wg.Wait()
	})
	h.t.Cleanup(func() {
		h.stopAgent()
		if h.t.Failed() {
			h.t.Logf("%s:\n%s", h.vtep, h.log.String())
		}
		for _, d := range []string{"wg0-", "wg1-"} {
			if err := h.WireGuard.Remove(d + h.name()); err != nil {
				h.t.Error(err)
			}
		}
	})
}

// dir is a directory that outlives the host's agents.
func (h *realHost) dir(name string) string {
	if h.dirs == "" {
		h.dirs = h.t.TempDir()
	}
	dir := filepath.Join(h.dirs, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		h.t.Fatal(err)
	}
	return dir
}

func (h *realHost) name() string {
	var n struct{ Name string }
	if err := json.Unmarshal([]byte(h.network), &n); err != nil {
		h.t.Fatal(err)
	}
	return n.Name
}

func (h *realHost) open(path string) (hoststate.Namespace, error) {
	switch {
	case path != "":
		return openStack(path)
	case h.programs != nil:
		return h.programs.Open(h.ns)
	}
	return openStack(h.ns)
}

// usePrograms lets the agent attach eBPF programs, pinned in a file system of the test's.
func (h *realHost) usePrograms() {
	h.t.Helper()
	dir := h.t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		h.t.Skipf("no BPF file system: %v", err)
	}
	h.t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			h.t.Error(err)
		}
	})
	h.programs = &bpfpath.Programs{Dir: filepath.Join(dir, "vxlan-driver", "netns-1")}
	h.Host.FastPathChecksSenders = func(device string) bool { return h.programs.State(device).Reason == "" }
	h.TakesIP = h.programs.TakesIP
	h.FastPathOf = func(device string) agentapi.FastPathStatus {
		s := h.programs.State(device)
		return agentapi.FastPathStatus{EBPF: s.Attached, Reason: s.Reason}
	}
}

// startContainer starts a container with an address, and returns how long its plugin took.
func (h *realHost) startContainer(addr string) time.Duration {
	h.t.Helper()
	ns, number := netnstest.New(h.t), len(h.containers)
	h.containers = append(h.containers, ns)
	began := time.Now()
	_, err := h.plugin.Setup(ns, netavark.Request{
		ContainerID: fmt.Sprintf("%064x", number), ContainerName: fmt.Sprint("c", number),
		Network: json.RawMessage(h.network),
		Options: json.RawMessage(fmt.Sprintf(`{"interface_name": "eth0", "static_ips": [%q]}`, addr)),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return time.Since(began)
}

func (h *realHost) inContainer(i int, script string) string {
	h.t.Helper()
	return netnstest.Shell(h.t, h.containers[i])(script)
}

func (h *realHost) encryption() agentapi.EncryptionStatus {
	h.t.Helper()
	report := h.handleRequest(h.t.Context(), agentapi.Request{Verb: agentapi.VerbStatus}).Status
	if len(report.Networks) != 1 || report.Networks[0].Encryption == nil {
		h.t.Fatalf("status %+v", report)
	}
	return *report.Networks[0].Encryption
}

// awaitGeneration waits until a host has just one device, by which its packets leave.
func (h *realHost) awaitGeneration(generation uint64) {
	h.t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		s := h.encryption()
		if len(s.Devices) == 1 && s.Sends == generation && s.Devices[0].Generation == generation {
			return
		}
		if time.Since(began) > time.Minute {
			h.t.Fatalf("%s: not at generation %d: %+v", h.vtep, generation, s)
		}
	}
}

// marker is in all that containers send here.
const marker = "NOT-FOR-THE-UNDERLAY"

// underlayTraffic is what was seen on an underlay interface.
type underlayTraffic struct {
	mu                        sync.Mutex
	wireGuard, vxlan, leaking int
	stop                      func()
}

// watchUnderlay counts packets on a host's eth0, until stop is called.
func (h *realHost) watchUnderlay() *underlayTraffic {
	h.t.Helper()
	seen := new(underlayTraffic)
	var fd int
	err := netns.DoIn(h.ns, func() (err error) {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, all); err != nil {
			return err
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
		_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: eth0.Index})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 1<<17)
		for {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if err == nil {
				seen.count(buf[:n])
				continue
			}
			select {
			case <-done:
				return
			default:
			}
		}
	}()
	seen.stop = func() {
		close(done)
		<-ended
		unix.Close(fd)
	}
	return seen
}

func (s *underlayTraffic) count(frame []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Contains(frame, []byte(marker)) || bytes.Contains(frame, []byte(marker)[:8]) {
		s.leaking++
	}
	if len(frame) < 42 || frame[12] != 8 || frame[13] != 0 || frame[23] != unix.IPPROTO_UDP {
		return
	}
	switch port := binary.BigEndian.Uint16(frame[36:]); {
	case port == 4789:
		s.vxlan++
	case port >= 51820 && port < 52000:
		s.wireGuard++
	}
}

// hasLeaked tells whether so many packets with what containers send were seen.
func (s *underlayTraffic) hasLeaked(count int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaking >= count
}

// expectEncrypted checks that all that crossed the underlay was encrypted.
func (s *underlayTraffic) expectEncrypted(t *testing.T, least int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaking+s.vxlan > 0 || s.wireGuard < least {
		t.Errorf("on the underlay: %d packets of WireGuard, %d of VXLAN, %d with what containers send",
			s.wireGuard, s.vxlan, s.leaking)
	}
}

// stream sends random bytes with markers by TCP from one container to another until ctx is done. It returns how many
// arrived as they were sent, and the longest time in which none came.
func stream(ctx context.Context, from, to, addr string) (received int64, gap time.Duration, err error) {
	var l net.Listener
	if err = netns.DoIn(to, func() (err error) {
		l, err = net.Listen("tcp", addr+":5000")
		return err
	}); err != nil {
		return 0, 0, err
	}
	defer l.Close()
	sent := sha256.New()
	sendErr := make(chan error, 1)
	go func() {
		sendErr <- func() error {
			var c net.Conn
			err := netns.DoIn(from, func() (err error) {
				c, err = net.DialTimeout("tcp", addr+":5000", 5*time.Second)
				return err
			})
			if err != nil {
				return err
			}
			defer c.Close()
			rng := rand.New(rand.NewPCG(1, 1))
			for ctx.Err() == nil {
				block := append([]byte(marker), make([]byte, rng.IntN(20_000))...)
				sent.Write(block)
				if _, err := c.Write(block); err != nil {
					return err
				}
				time.Sleep(time.Millisecond) // so that the machine has time for others
			}
			return nil
		}()
	}()
	c, err := l.Accept()
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	got, buf, last := sha256.New(), make([]byte, 1<<16), time.Now()
	for {
		n, err := c.Read(buf)
		got.Write(buf[:n])
		received += int64(n)
		gap, last = max(gap, time.Since(last)), time.Now()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return received, gap, err
		}
	}
	if err := <-sendErr; err != nil {
		return received, gap, err
	}
	if !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
		return received, gap, errors.New("what arrived is not what was sent")
	}
	return received, gap, nil
}

// echoes are what became of the echo requests of a flood. The last ones do not count: the flood ended before their
// answers could come.
type echoes struct{ answered, lost, doubled int }

var echoSequence = regexp.MustCompile(`icmp_seq=([0-9]+) .*time=`)

// pingFlood sends an echo request each 2 ms until ctx is done.
func pingFlood(ctx context.Context, ns, addr string) (e echoes, err error) {
	var out bytes.Buffer
	err = netns.DoIn(ns, func() error {
		cmd := exec.Command("ping", "-i", "0.002", "-p", fmt.Sprintf("%x%[1]x", marker[:8]), addr)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			return err
		}
		<-ctx.Done()
		return errors.Join(cmd.Process.Signal(os.Interrupt), cmd.Wait())
	})
	if err != nil {
		return e, fmt.Errorf("%w: %s", err, out.String())
	}
	seen, last := make(map[int]bool), 0
	for _, match := range echoSequence.FindAllStringSubmatch(out.String(), -1) {
		number, err := strconv.Atoi(match[1])
		if err != nil {
			return e, err
		}
		if seen[number] {
			e.doubled++
		}
		seen[number], last = true, max(last, number)
	}
	e.answered, e.lost = len(seen), last-len(seen)
	return e, nil
}

// Two hosts whose agents exchange keys. From the first packet on all passes, and nothing crosses the underlay that is
// not encrypted: not while the containers start, nor while keys rotate three times under load. No packet is lost.
func TestRealEncryptionRotatesWithoutLoss(t *testing.T) {
	for name, withPrograms := range map[string]bool{"VXLAN inside WireGuard": false, "straight": true} {
		t.Run(name, func(t *testing.T) {
			hosts := newRealHosts(t, "wireguard", withPrograms)
			a, b := hosts[0], hosts[1]
			seen := a.watchUnderlay()
			t.Logf("first containers: %v, %v", a.startContainer("10.0.0.10"), b.startContainer("10.0.0.11"))
			// The first packet has an answer, without a second question for a MAC, which comes after a second.
			if got := a.inContainer(0, "ping -c 1 -W 0.8 10.0.0.11"); !strings.Contains(got, " 0% packet loss") {
				t.Errorf("the first packet: %s", got)
			}
			t.Logf("another container: %v", b.startContainer("10.0.0.12"))
			if got := a.inContainer(0, "ping -c 1 -W 0.8 10.0.0.12"); !strings.Contains(got, " 0% packet loss") {
				t.Errorf("another container: %s", got)
			}
			if withPrograms {
				awaitStraight(t, a, b)
			}
			ctx, cancel := context.WithCancel(t.Context())
			var load sync.WaitGroup
			defer load.Wait()
			defer cancel()
			var pings echoes
			var received int64
			var gap time.Duration
			load.Go(func() {
				var err error
				if pings, err = pingFlood(ctx, a.containers[0], "10.0.0.11"); err != nil {
					t.Error(err)
				}
			})
			load.Go(func() {
				var err error
				if received, gap, err = stream(ctx, a.containers[0], b.containers[1], "10.0.0.12"); err != nil {
					t.Error(err)
				}
			})
			for generation := uint64(2); generation <= 4; generation++ {
				began := time.Now()
				rotate := agentapi.Request{Verb: agentapi.VerbRotateEncryption}
				if got := hosts[generation%2].handleRequest(t.Context(), rotate); got.Error != "" {
					t.Fatal(got.Error)
				}
				a.awaitGeneration(generation)
				b.awaitGeneration(generation)
				t.Logf("generation %d after %v", generation, time.Since(began).Round(time.Millisecond))
			}
			cancel()
			load.Wait()
			t.Logf("%d bytes by TCP, none for at most %v; echoes %+v", received, gap, pings)
			if pings.lost+pings.doubled > 0 || pings.answered < 1000 || received == 0 {
				t.Errorf("%d bytes by TCP, echoes %+v", received, pings)
			}
			seen.stop()
			seen.expectEncrypted(t, 1000)
			a.checkStatus(b, withPrograms)
		})
	}
}

// checkStatus checks what the report says of the other host.
func (h *realHost) checkStatus(other *realHost, straight bool) {
	h.t.Helper()
	// A device that goes may be missed by what is just attaching a program to it. That is tried again.
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		problem := h.handleRequest(h.t.Context(), agentapi.Request{Verb: agentapi.VerbStatus}).Status.Problem
		if problem == "" {
			break
		}
		if time.Since(began) > time.Minute {
			h.t.Fatal(problem)
		}
	}
	s := h.encryption()
	d := s.Devices[0]
	if !d.Running || d.Implementation == "" || d.Port == 0 || d.MTU != 1440 || len(d.Peers) != 1 {
		h.t.Fatalf("status %+v", s)
	}
	p := d.Peers[0]
	if p.VTEP != other.vtep || p.Endpoint != netip.AddrPortFrom(other.vtep, other.encryption().Devices[0].Port) ||
		!p.Handshake || p.HandshakeAge > time.Minute || p.Received == 0 || p.Sent == 0 || p.Straight != straight {
		h.t.Errorf("peer %+v", p)
	}
}

// awaitStraight waits until both hosts take IP packets without a VXLAN header, and know that of each other.
func awaitStraight(t *testing.T, hosts ...*realHost) {
	t.Helper()
	isStraight := func(h *realHost) bool {
		s := h.encryption()
		return len(s.Devices) == 1 && len(s.Devices[0].Peers) == 1 && s.Devices[0].Peers[0].Straight
	}
	for began := time.Now(); !isStraight(hosts[0]) || !isStraight(hosts[1]); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("packets do not go without a VXLAN header: %+v, %+v", hosts[0].encryption(), hosts[1].encryption())
		}
	}
}

// Without encryption what containers send crosses the underlay, and is seen there.
func TestUnderlayIsReallyWatched(t *testing.T) {
	hosts := newRealHosts(t, "off", false)
	seen := hosts[0].watchUnderlay()
	hosts[0].startContainer("10.0.0.10")
	hosts[1].startContainer("10.0.0.11")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const enough = 50
	go func() {
		for ctx.Err() == nil && !seen.hasLeaked(enough) {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	if _, err := pingFlood(ctx, hosts[0].containers[0], "10.0.0.11"); err != nil {
		t.Error(err)
	}
	seen.stop()
	if seen.leaking < enough || seen.vxlan < enough || seen.wireGuard > 0 {
		t.Errorf("%d packets of WireGuard, %d of VXLAN, %d with what containers send",
			seen.wireGuard, seen.vxlan, seen.leaking)
	}
}

// Both agents end, and others begin. Packets pass all the while, by the same keys.
func TestRealEncryptionOutlivesAgents(t *testing.T) {
	hosts := newRealHosts(t, "wireguard", false)
	a, b := hosts[0], hosts[1]
	seen := a.watchUnderlay()
	a.startContainer("10.0.0.10")
	b.startContainer("10.0.0.11")
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	defer load.Wait()
	defer cancel()
	var pings echoes
	load.Go(func() {
		var err error
		if pings, err = pingFlood(ctx, a.containers[0], "10.0.0.11"); err != nil {
			t.Error(err)
		}
	})
	key := a.encryption().Devices[0].PublicKey
	for _, h := range hosts {
		h.stopAgent()
	}
	time.Sleep(2 * time.Second)
	for _, h := range hosts {
		h.plane.fakeCluster = newFakeCluster()
		h.plane.synced, h.plane.members = true, 2
	}
	for _, h := range hosts {
		h.startAgent(false)
	}
	time.Sleep(2 * time.Second)
	cancel()
	load.Wait()
	if pings.lost+pings.doubled > 0 || pings.answered < 100 {
		t.Errorf("echoes %+v", pings)
	}
	if s := a.encryption(); len(s.Devices) != 1 || s.Devices[0].PublicKey != key || len(s.Devices[0].Peers) != 1 {
		t.Errorf("another key: %+v", s)
	}
	seen.stop()
	seen.expectEncrypted(t, 100)
}
