package wireguard_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/rtnl"
	"vxlan-driver/internal/kernel/wireguard"
	"vxlan-driver/internal/logtest"
)

// host is one of two hosts on an underlay, with a WireGuard device and a VXLAN device that sends by it.
type host struct {
	*wireguard.Host
	testing.TB
	path   string // of its namespace
	sh     func(script string) string
	device wireguard.Device
	vtep   netip.Addr
	log    *logtest.Buffer
	state  wireguard.State
	pace   time.Duration // what an echo takes with its ping: much more in a machine without acceleration
}

// implementations are those that this kernel has.
var implementations = []wireguard.Implementation{wireguard.InKernel, wireguard.WireGuardGo}

// eachImplementation runs a test with each implementation, by IPv4 and by IPv6.
func eachImplementation(t *testing.T, test func(t *testing.T, i wireguard.Implementation, ipv6 bool)) {
	for _, i := range implementations {
		for _, ipv6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/ipv6=%v", i, ipv6), func(t *testing.T) { test(t, i, ipv6) })
		}
	}
}

// names are of no other test and no other run: sockets are found by a device's name in all namespaces.
var names atomic.Int32

func newName() string { return fmt.Sprintf("wg%d-%d", os.Getpid(), names.Add(1)) }

// needImplementation skips the test where this kernel has none, and says so.
func needImplementation(t testing.TB, i wireguard.Implementation, path string) {
	t.Helper()
	if i != wireguard.InKernel {
		return
	}
	c, err := rtnl.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	name := newName()
	if err := c.CreateWireGuard(name); errors.Is(err, kernel.ErrNotSupported) {
		t.Skip("the kernel has no WireGuard devices")
	} else if err != nil {
		t.Fatal(err)
	}
	if err := c.Apply(kernel.DeleteLink{Name: name}); err != nil {
		t.Fatal(err)
	}
}

// newHost returns a host in a namespace that has eth0 with the VTEP.
func newHost(t testing.TB, i wireguard.Implementation, path string, vtep netip.Addr) *host {
	t.Helper()
	key, err := wireguard.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{TB: t, path: path, sh: netnstest.Shell(t, path), vtep: vtep, log: new(logtest.Buffer)}
	h.device = wireguard.Device{
		Name: newName(), Alias: "vxlan-driver network 7c7b n", MTU: 1420, PrivateKey: key, IPv6: vtep.Is6(),
	}
	h.Host = h.newAgent(i, self)
	t.Cleanup(func() {
		if err := h.Remove(h.device.Name); err != nil {
			t.Error(err)
		}
	})
	h.ensure()
	return h
}

// newAgent returns the host's devices as an agent that has just begun sees them.
func (h *host) newAgent(i wireguard.Implementation, program string) *wireguard.Host {
	return &wireguard.Host{
		Namespace: h.path, WithoutKernel: i == wireguard.WireGuardGo, Log: slog.New(slog.NewTextHandler(h.log, nil)),
		Start: wireguard.Launcher{Program: program, Namespace: h.path, Log: os.Stderr}.Start,
	}
}

func (h *host) ensure() {
	h.Helper()
	s, err := h.Ensure(h.Context(), h.device)
	if err != nil {
		h.Fatal(err)
	}
	h.state = s
}

// peer is how others see the host.
func (h *host) peer(allowed ...string) wireguard.Peer {
	p := wireguard.Peer{
		PublicKey: h.device.PrivateKey.Public(), Endpoint: netip.AddrPortFrom(h.vtep, h.state.Port),
		AllowedIPs: []netip.Prefix{netip.PrefixFrom(h.vtep, h.vtep.BitLen())},
	}
	for _, a := range allowed {
		p.AllowedIPs = append(p.AllowedIPs, netip.MustParsePrefix(a))
	}
	return p
}

func (h *host) setPeers(peers ...wireguard.Peer) {
	h.Helper()
	if err := h.UpdatePeers(h.device.Name, peers, nil); err != nil {
		h.Fatal(err)
	}
}

func (h *host) read() wireguard.State {
	h.Helper()
	s, err := h.State(h.device.Name)
	if err != nil {
		h.Fatal(err)
	}
	return s
}

// underlay returns two namespaces with eth0 and the VTEPs.
func underlay(t testing.TB, ipv6 bool) (paths [2]string, vteps [2]netip.Addr) {
	t.Helper()
	for i := range paths {
		paths[i] = netnstest.New(t)
		vteps[i] = netip.AddrFrom4([4]byte{198, 18, 7, byte(i + 1)})
		if ipv6 {
			vteps[i] = netip.MustParseAddr(fmt.Sprintf("2001:db8:7::%d", i+1))
		}
	}
	other, err := netns.Open(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = netns.Do(paths[0], func() error {
		cmd := exec.Command("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", "/proc/self/fd/3")
		cmd.ExtraFiles = append(cmd.ExtraFiles, other)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		// The strictest check of senders that a host may have.
		netnstest.Shell(t, path)("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1")
		length := "/24"
		if ipv6 {
			length = "/64 nodad"
		}
		netnstest.Shell(t, path)(fmt.Sprintf(`
			ip link set lo up
			ip link set eth0 addrgenmode none up
			ip address add %s%s dev eth0`, vteps[i], length))
	}
	for _, path := range paths {
		netnstest.WaitForAddrs(t, path)
		// A link hears of its carrier later, and a handshake that is lost is tried again after five seconds.
		netnstest.Shell(t, path)(`for i in $(seq 500); do
			ip link show eth0 | grep -q LOWER_UP && exit 0
			sleep 0.01
		done; exit 1`)
	}
	return paths, vteps
}

// pair returns two hosts that are each other's peers, whose VXLAN devices send by WireGuard.
func pair(t testing.TB, i wireguard.Implementation, ipv6 bool) (a, b *host) {
	t.Helper()
	paths, vteps := underlay(t, ipv6)
	needImplementation(t, i, paths[0])
	a, b = newHost(t, i, paths[0], vteps[0]), newHost(t, i, paths[1], vteps[1])
	a.addVXLAN(b, "10.7.0.1/24")
	b.addVXLAN(a, "10.7.0.2/24")
	shakeHands(a, b)
	return a, b
}

// shakeHands makes two hosts each other's peers, and waits for their session. Only b knows where the other one is, and
// begins. If both begin at once, the kernel's WireGuard may need another try, which takes up to 25 seconds.
func shakeHands(a, b *host) {
	a.Helper()
	somewhere := b.peer()
	somewhere.Endpoint = netip.AddrPort{}
	a.setPeers(somewhere)
	b.setPeers(a.peer())
	a.awaitHandshake()
	b.awaitHandshake()
	a.setPeers(b.peer())
}

// addVXLAN adds a VXLAN device as an encrypted network has one: each entry of its FDB leads by WireGuard. It
// counts VXLAN packets that the underlay has brought.
func (h *host) addVXLAN(to *host, addr string) {
	h.Helper()
	h.sh(fmt.Sprintf(`
		ip link add vx0 type vxlan id 77 dstport 4789 dev eth0 local %s nolearning
		ip link set vx0 mtu 1350 up
		ip address add %s dev vx0
		bridge fdb append 00:00:00:00:00:00 dev vx0 dst %s via %s
		nft 'table inet t { chain c {
			type filter hook prerouting priority -300
			iifname "eth0" udp dport 4789 counter
		}; }'`,
		h.vtep, addr, to.vtep, h.device.Name))
}

// plaintext returns how many VXLAN packets have come by the underlay.
func (h *host) plaintext() string {
	h.Helper()
	_, rest, _ := strings.Cut(h.sh("nft list table inet t"), "packets ")
	n, _, _ := strings.Cut(rest, " ")
	return n
}

func checkNoPlaintext(hosts ...*host) {
	for _, h := range hosts {
		h.Helper()
		if n := h.plaintext(); n != "0" {
			h.Errorf("%s VXLAN packets came without WireGuard", n)
		}
	}
}

// pinging is a ping that runs.
type pinging struct {
	cmd *exec.Cmd
	out logtest.Buffer
}

// minPace is the time between two echoes on a machine with acceleration.
const minPace = 5 * time.Millisecond

// ping sends an echo every 5 ms, or less often where that would be a flood that the machine cannot take.
func (h *host) ping(addr string) *pinging {
	h.Helper()
	interval := fmt.Sprint(max(minPace, h.pace/5).Seconds())
	p := &pinging{cmd: exec.Command("ping", "-i", interval, "-s", "1200", "-M", "do", addr)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := netns.Do(h.path, p.cmd.Start); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = p.cmd.Process.Kill() })
	return p
}

// stop ends it, and returns what count does.
func (p *pinging) stop(t testing.TB) (sent, answered int) {
	t.Helper()
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait() // 1, if none was answered
	if !strings.Contains(p.out.String(), "packets transmitted") {
		t.Fatalf("ping says:\n%s", p.out.String())
	}
	return p.count(t)
}

// count returns how many echoes were sent up to the last that was answered, and how many of these were answered.
func (p *pinging) count(t testing.TB) (sent, answered int) {
	t.Helper()
	for line := range strings.Lines(p.out.String()) {
		if _, seq, ok := strings.Cut(line, "icmp_seq="); ok && strings.Contains(line, "time=") {
			var n int
			if _, err := fmt.Sscan(seq, &n); err != nil {
				t.Fatalf("ping says %q", line)
			}
			sent = max(sent, n) // an answer may overtake another
			answered++
		}
	}
	return sent, answered
}

// awaitAnswers waits until so many more echoes were answered. On a busy machine it takes ping longer than any fixed
// time to begin, and until then it would not end by the signal of stop either.
func (p *pinging) awaitAnswers(t testing.TB, n int) {
	t.Helper()
	_, before := p.count(t)
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, answered := p.count(t); answered >= before+n {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("too few echoes are answered; ping says:\n%s", p.out.String())
		}
	}
}

// awaitAll waits until all echoes were answered that are on their way now. It returns after a while if some are lost.
func (p *pinging) awaitAll(t testing.TB) {
	t.Helper()
	p.awaitAnswers(t, 5)
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		if sent, answered := p.count(t); sent == answered {
			return
		}
	}
}

// waitForPing waits until b answers a, and returns how long that took.
func waitForPing(t testing.TB, a *host) time.Duration {
	t.Helper()
	began := time.Now()
	a.sh(`for i in $(seq 300); do ping -c 1 -W 0.1 10.7.0.2 >/dev/null && exit 0; done; exit 1`)
	took := time.Since(began)
	once := time.Now()
	a.sh(`for i in $(seq 100); do ping -c 1 -W 2 10.7.0.2 >/dev/null && exit 0; done; exit 1`)
	a.pace = time.Since(once)
	return took
}

func TestVXLANInsideWireGuard(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		a, b := pair(t, i, ipv6)
		waitForPing(t, a)
		p := a.ping("10.7.0.2")
		p.awaitAnswers(t, 10)
		if sent, answered := p.stop(t); answered < sent {
			t.Errorf("%d of %d echoes were answered", answered, sent)
		}
		checkNoPlaintext(a, b)
		s := a.read()
		if s.Implementation != i || !s.Running || s.Port != a.state.Port || s.PublicKey != a.device.PrivateKey.Public() ||
			len(s.Peers) != 1 || s.Peers[0].LastHandshake.IsZero() || s.Peers[0].Received < 10_000 || s.Peers[0].Sent < 10_000 {
			t.Errorf("%+v", s)
		}
		if names, err := a.List(); err != nil || len(names) != 1 || names[0] != a.device.Name {
			t.Errorf("devices: %q, %v", names, err)
		}
	})
}

// Nothing is made anew that is there, and somebody's changes are undone.
func TestEnsureRepairs(t *testing.T) {
	eachImplementation(t, func(t *testing.T, i wireguard.Implementation, ipv6 bool) {
		paths, vteps := underlay(t, ipv6)
		needImplementation(t, i, paths[0])
		h := newHost(t, i, paths[0], vteps[0])
		before, index := h.describe(), h.sh("cat /sys/class/net/"+h.device.Name+"/ifindex || ip -o link show "+h.device.Name)
		h.ensure()
		if got := h.describe(); got != before {
			t.Errorf("the second time\n%s\ninstead of\n%s", got, before)
		}
		h.sh(fmt.Sprintf(`
			ip link set %[1]s down mtu 1300
			ip link set %[1]s alias "vxlan-driver network 7c7b other"
			ip link set %[1]s addrgenmode eui64
			sysctl -qw net.ipv4.conf.%[1]s.rp_filter=1
			ip -6 rule del prio 150 2>/dev/null || true`, h.device.Name))
		port := h.state.Port
		h.ensure()
		if want := []wireguard.Fault{wireguard.StrictSources, wireguard.Down}; !slices.Equal(h.state.Repaired, want) {
			t.Errorf("repaired %q, want %q", h.state.Repaired, want)
		}
		if got := h.describe(); got != before || h.state.Port != port {
			t.Errorf("port %d; repaired as\n%s\ninstead of\n%s", h.state.Port, got, before)
		}
		if got := h.sh("cat /sys/class/net/" + h.device.Name + "/ifindex || ip -o link show " + h.device.Name); got != index {
			t.Errorf("it is another device: %s instead of %s", got, index)
		}
		h.sh(fmt.Sprintf("ip -4 address flush dev %s; ip -6 rule del prio 150 2>/dev/null || true", h.device.Name))
		h.ensure()
		want := wireguard.WithoutIPv4
		if ipv6 {
			want = wireguard.WithoutRule
		}
		if got := h.state.Repaired; h.describe() != before || !slices.Equal(got, []wireguard.Fault{want}) {
			t.Errorf("repaired %q, want %q\n%s", got, want, h.describe())
		}
		h.ensure()
		if len(h.state.Repaired) > 0 {
			t.Errorf("what is in order was repaired: %q", h.state.Repaired)
		}
		key, err := wireguard.NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		h.device.PrivateKey, h.device.Port, h.device.AltNames = key, port+1, []string{"wireguard-of-a-long-name"}
		h.ensure()
		isNamed := strings.Contains(h.describe(), "wireguard-of-a-long-name")
		if h.state.Port != port+1 || h.state.PublicKey != key.Public() || !isNamed {
			t.Errorf("%+v\n%s", h.state, h.describe())
		}
	})
}

// describe returns all that a device has but addresses in memory.
func (h *host) describe() string {
	h.Helper()
	return h.sh(fmt.Sprintf(`
		ip -d link show %[1]s
		ip address show dev %[1]s scope global
		ip -6 address show dev %[1]s
		sysctl net.ipv4.conf.%[1]s.rp_filter
		ip -6 rule
		ip -6 route show table all dev %[1]s | grep -v multicast || true`, h.device.Name))
}
