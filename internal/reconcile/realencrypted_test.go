package reconcile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netstack"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

const (
	realWireGuard = "wg0-blue"
	standInPort   = 51820
)

// wireMarker is what containers send. It must never be seen between hosts.
var wireMarker = []byte("PLAINTEXT")

const pingMarker = "ping -n -c 2 -i 0.02 -W 1 -p 504c41494e54455854 " // the same in hexadecimal

// standIn takes the place of WireGuard: it carries packets of a tun device to the other host, and back,
// with all bytes altered.
type standIn struct {
	tun  *os.File
	conn *net.UDPConn
}

// newStandIn makes the device as the agent does: with a table of its own for IPv6, where the device
// that an entry names does not decide alone.
func newStandIn(h *realHost, peer netip.Addr) *standIn {
	h.Helper()
	s := new(standIn)
	err := netns.Do(h.ns, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return os.NewSyscallError("open tun", err)
		}
		ifr, err := unix.NewIfreq(realWireGuard)
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
			return os.NewSyscallError("TUNSETIFF", err)
		}
		s.tun = os.NewFile(uintptr(fd), "tun")
		s.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(h.v.Local, standInPort)))
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	run(h, h.ns, "ip link set "+realWireGuard+" mtu 1420 addrgenmode none alias '"+h.n.Alias()+"' && "+
		"ip link set "+realWireGuard+" up"+
		" && sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf."+realWireGuard+".rp_filter=0"+
		" && ip -6 route replace default dev "+realWireGuard+" table 77"+
		" && { ip -6 rule | grep -q "+realWireGuard+" || ip -6 rule add oif "+realWireGuard+" lookup 77; }")
	go s.carry(s.tun.Read, func(b []byte) { s.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(peer, standInPort)) })
	go s.carry(func(b []byte) (int, error) { n, _, err := s.conn.ReadFromUDPAddrPort(b); return n, err },
		func(b []byte) { s.tun.Write(b) })
	h.Cleanup(s.end)
	return s
}

// carry passes packets on until it is closed. What cannot be passed on is lost.
func (s *standIn) carry(read func([]byte) (int, error), write func([]byte)) {
	b := make([]byte, 2000)
	for {
		n, err := read(b)
		if errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) || errors.Is(err, unix.EBADFD) {
			return
		}
		for i := range b[:n] {
			b[i] ^= 0xa5
		}
		write(b[:n])
	}
}

// end is as if the process was killed: the device goes, too.
func (s *standIn) end() {
	s.tun.Close()
	s.conn.Close()
}

// encryptedHost is a host with one container on an encrypted network.
type encryptedHost struct {
	*realHost
	standIn   *standIn
	container network.Endpoint
	inside    tap // of the container's interface
}

// newEncryptedPair returns two hosts whose containers reach each other.
func newEncryptedPair(t *testing.T, prefix string) (a, b *encryptedHost) {
	t.Helper()
	a, b = newEncryptedHosts(t, prefix)
	for i, h := range []*encryptedHost{a, b} {
		h.bringUp()
		h.startContainer(2 + i)
	}
	a.connect(b)
	b.connect(a)
	return a, b
}

// newEncryptedHosts returns two hosts that have nothing of the network yet.
func newEncryptedHosts(t *testing.T, prefix string) (a, b *encryptedHost) {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("the kernel has no tun devices: ", err)
	}
	sw := newSwitch(t)
	var pair [2]*encryptedHost
	for i := range pair {
		h := newRealHost(t, sw, i, netip.MustParseAddr(fmt.Sprint(prefix, 10+i)), false)
		h.n.WireGuard = [2]network.DeviceName{{Name: realWireGuard}, {Name: "wg1-blue"}}
		h.n.Encryption, h.n.Learning = network.EncryptionWireGuard, kernel.Opt[bool]{}
		h.v.Remotes = []netip.Addr{netip.MustParseAddr(fmt.Sprint(prefix, 11-i))}
		h.v.Flood, h.v.StaticFDB, h.v.AgentPort, h.v.MTU = h.v.Remotes, true, 7947, 1340
		pair[i] = &encryptedHost{realHost: h}
	}
	return pair[0], pair[1]
}

func (h *encryptedHost) startContainer(i int) {
	h.Helper()
	h.container = h.start(i)
	h.inside = listen(h.TB.(*testing.T), h.container.Namespace, "eth0")
}

// bringUp applies what a start applies before there is a container.
func (h *encryptedHost) bringUp() {
	h.Helper()
	h.applyPlan(plan.StartShared(h.hostNetwork().PlacedNetwork, network.Endpoint{}, h.beside()))
}

func (h *encryptedHost) beside() plan.Beside {
	return plan.Beside{First: true, Networks: func() ([]plan.HostNetwork,
		error) {
		return []plan.HostNetwork{h.hostNetwork()}, nil
	}}
}

// connect makes the WireGuard device, and has frames leave by it.
func (h *encryptedHost) connect(peer *encryptedHost) {
	h.Helper()
	h.standIn = newStandIn(h.realHost, peer.v.Local)
	h.v.WireGuard = realWireGuard
	h.repair(peer)
}

// repair is what an agent does in a full turn.
func (h *encryptedHost) repair(peer *encryptedHost) {
	h.Helper()
	h.applyPlan(plan.RepairFirewall([]plan.HostNetwork{h.hostNetwork()}, true))
	h.network()
	h.forward(true, peer.realHost)
}

// sendMarked sends all that a container may send: to all, to an unknown MAC, and to a known container,
// which it tells whether it reached.
func (h *encryptedHost) sendMarked(peer *encryptedHost) (reached bool) {
	h.Helper()
	own := h.container.MAC
	for _, to := range []kernel.MAC{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x33, 0x33, 0, 0, 0, 1},
		{2, 0, 0, 0, 0x77, 0x77}, peer.container.MAC} {
		frame := binary.BigEndian.AppendUint16(append(to[:], own[:]...), markerType+1)
		h.inside.send(append(frame, bytes.Repeat(wireMarker, 8)...))
	}
	for _, p := range peer.container.Addrs {
		if _, err := try(h.container.Namespace, pingMarker+p.Addr().String()); err != nil {
			return false
		}
	}
	return true
}

// drops returns how many packets the rules of a reason have dropped.
func (h *encryptedHost) drops(reason string) (n uint64) {
	h.Helper()
	c, err := netstack.ReadCounters(h.ns, nil)
	if err != nil {
		h.Fatal(err)
	}
	for _, d := range c.Drops {
		if d.Reason == reason {
			n += d.Packets
		}
	}
	return n
}

// received returns how many packets the VXLAN device has received.
func (h *encryptedHost) received() uint64 {
	h.Helper()
	c, err := netstack.ReadCounters(h.ns, []string{realDevice})
	if err != nil {
		h.Fatal(err)
	}
	return c.Links[realDevice].ReceivedPackets
}

// wireTap looks at all that passes a host's underlay device.
type wireTap struct {
	tap
	marker    tap // a socket does not hear what it sends
	mu        sync.Mutex
	plaintext []string
	encrypted int
	done      chan struct{}
}

func tapWire(t *testing.T, h *encryptedHost) *wireTap {
	t.Helper()
	w := &wireTap{tap: listen(t, h.ns, "eth0"), marker: listen(t, h.ns, "eth0"), done: make(chan struct{})}
	go w.look()
	return w
}

// look goes on until a marker passes, which is the last that the tap hears.
func (w *wireTap) look() {
	defer close(w.done)
	b := make([]byte, 4000)
	for {
		n, err := unix.Read(w.fd, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n >= 14 && binary.BigEndian.Uint16(b[12:]) == markerType {
			return
		}
		w.note(b[:n])
	}
}

func (w *wireTap) note(frame []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	isOfEncrypted := bytes.Contains(frame, []byte{8, 0, 0, 0, 0, 0, 100, 0})
	switch {
	case isOfEncrypted || bytes.Contains(frame, wireMarker):
		w.plaintext = append(w.plaintext, fmt.Sprintf("%x", frame))
	case bytes.Contains(frame, binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, standInPort),
		standInPort)):
		w.encrypted++
	}
}

// stop returns what it found. It waits for all that was sent before.
func (w *wireTap) stop() (plaintext []string, encrypted int) {
	w.Helper()
	broadcast := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	w.marker.send(append(binary.BigEndian.AppendUint16(append(broadcast, 2, 0, 0, 0, 0, 0xee), markerType),
		make([]byte, 46)...))
	<-w.done
	return w.plaintext, w.encrypted
}

var underlays = map[string]string{"over IPv4": "198.18.0.", "over IPv6": "fd00:198::"}

// Whatever happens to what encrypts, no byte of the network is seen between the hosts. What was
// altered is repaired, and containers reach each other again.
func TestRealEncryptedNetworkFailsClosed(t *testing.T) {
	flood := "bridge fdb append 00:00:00:00:00:00 dev " + realDevice + " dst PEER self permanent"
	faults := []struct {
		name   string
		script string // PEER is the other host
		breaks bool   // containers do not reach each other then
		drops4 bool   // the rules have to drop something, over IPv4
		drops6 bool   // the same over IPv6: the kernel falls back to another device than an entry names
	}{
		{"nothing", "true", false, false, false},
		{"the device is down", "ip link set " + realWireGuard + " down", true, false, true},
		{"the device is gone", "ip link del " + realWireGuard, true, false, true},
		{"an entry by the route", "for m in $(bridge fdb show dev " +
			realDevice + " | grep via | cut -d' ' -f1 | sort -u); do" +
			" bridge fdb replace $m dev " + realDevice + " dst PEER self permanent; done", true, true, true},
		{"a flood entry by the route", flood, false, true, true},
		{"no entries but one by the route", "bridge fdb flush dev " + realDevice + "; " + flood, true, true, true},
		{"learning", "ip link set " + realDevice + " type vxlan learning; bridge fdb flush dev " + realDevice + "; " +
			flood, true, true, true},
		{"no rules", "nft flush ruleset", false, false, false},
		{"another route", "ip -6 rule add pref 1 to PEER lookup 99; ip -6 route add default dev eth0 table 99", true, false,
			true},
	}
	for name, prefix := range underlays {
		for _, f := range faults {
			t.Run(name+"/"+f.name, func(t *testing.T) {
				a, b := newEncryptedPair(t, prefix)
				if f.name == "another route" && !strings.Contains(prefix, ":") {
					t.Skip("over IPv4 the device that an entry names decides")
				}
				wire := tapWire(t, a)
				if !a.sendMarked(b) {
					t.Fatal("containers do not reach each other to begin with")
				}
				_, _ = try(a.ns, strings.ReplaceAll(f.script, "PEER", b.v.Local.String()))
				reached := a.sendMarked(b)
				dropped := a.drops("plaintext_out")
				b.sendMarked(a)
				if f.name == "no rules" { // over IPv6 they alone stop what leaves while there is no device
					a.repair(b)
				}
				a.standIn.end()
				a.connect(b)
				_, _ = try(a.ns, "ip -6 rule del pref 1")
				if !a.sendMarked(b) {
					t.Error("containers do not reach each other after the repair")
				}
				plaintext, encrypted := wire.stop()
				if len(plaintext) > 0 || encrypted == 0 {
					t.Errorf("%d frames were encrypted, and in plaintext passed\n%s", encrypted, strings.Join(plaintext, "\n"))
				}
				if reached == f.breaks || (dropped > 0) != (f.drops4 && a.v.Local.Is4() || f.drops6 && a.v.Local.Is6()) {
					t.Errorf("reached: %v; rules dropped %d", reached, dropped)
				}
			})
		}
	}
}

// The rules let packets leave by a device that can be WireGuard's, and not by its name alone.
func TestRealNoEthernetDeviceOfTheName(t *testing.T) {
	a, b := newEncryptedPair(t, "198.18.0.")
	if !a.sendMarked(b) {
		t.Fatal("containers do not reach each other to begin with")
	}
	run(t, a.ns, strings.NewReplacer("VX", realDevice, "WG", realWireGuard, "PEER", b.v.Local.String()).Replace(`
		ip link del WG; ip link add WG type veth peer name other; ip link set other up; ip link set WG up
		bridge fdb flush dev VX; bridge fdb append 00:00:00:00:00:00 dev VX dst PEER via WG self permanent`))
	if a.sendMarked(b) || a.drops("plaintext_out") == 0 {
		t.Errorf("the rules dropped %d", a.drops("plaintext_out"))
	}
}

// What a program of this host sends, or the VXLAN device from an address that has gone, is no exception.
func TestRealNoAddressSendsPlaintext(t *testing.T) {
	for name, prefix := range underlays {
		t.Run(name, func(t *testing.T) {
			a, b := newEncryptedPair(t, prefix)
			wire := tapWire(t, a)
			other := netip.MustParseAddr(prefix + "50")
			bits := netip.PrefixFrom(other, 64-40*boolInt(other.Is4()))
			a.apply(kernel.AddAddr{Name: "eth0", Addr: kernel.Addr{Prefix: bits, NoDAD: other.Is6()}})
			err := netns.Do(a.ns, func() error {
				conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(other, 0)),
					net.UDPAddrFromAddrPort(netip.AddrPortFrom(b.v.Local, 4789)))
				if err == nil {
					_, err = conn.Write([]byte{8, 0, 0, 0, 0, 0, 100, 0})
					conn.Close()
				}
				return err
			})
			if !errors.Is(err, unix.EPERM) || a.drops("plaintext_out") != 1 {
				t.Errorf("from another address: %v; dropped %d", err, a.drops("plaintext_out"))
			}
			if other.Is6() {
				run(t, a.ns, fmt.Sprintf("bridge fdb append 00:00:00:00:00:00 dev %s dst %s self permanent; ip address del %s/64 "+
					"dev eth0",
					realDevice, b.v.Local, a.v.Local))
				if a.sendMarked(b); a.drops("plaintext_out") == 1 {
					t.Error("from an address that has gone nothing was dropped")
				}
			}
			if plaintext, _ := wire.stop(); len(plaintext) > 0 {
				t.Errorf("passed\n%s", strings.Join(plaintext, "\n"))
			}
		})
	}
}

// Before WireGuard is ready, and while a firewall of another version is replaced, nothing leaves at
// all. The rules are there before the device is.
func TestRealEncryptedNetworkStartsClosed(t *testing.T) {
	otherVersion := `nft 'add table inet vxlan-driver { comment "rules 0123 of vxlan-driver; vxlanctl reload restores them"; }'`
	for name, script := range map[string]string{"anew": "true", "after an upgrade": otherVersion} {
		t.Run(name, func(t *testing.T) {
			a, b := newEncryptedHosts(t, "198.18.0.")
			wire := tapWire(t, a)
			run(t, a.ns, script)
			made := false
			a.before = func(c kernel.Change) {
				if link, ok := c.(kernel.CreateLink); ok && link.Link.Kind == kernel.KindVXLAN {
					made = true
					run(t, a.ns, "nft get element inet vxlan-driver encrypted '{ 4789 . 100 }' && nft list chain inet vxlan-driver "+
						"postrouting")
				}
			}
			a.bringUp()
			b.bringUp()
			a.startContainer(2)
			b.startContainer(3)
			a.forward(true, b.realHost)
			if reached := a.sendMarked(b); reached || !made || a.drops("plaintext_out") > 0 {
				t.Errorf("reached without WireGuard: %v; device made: %v; it sent %d", reached, made, a.drops("plaintext_out"))
			}
			if plaintext, encrypted := wire.stop(); len(plaintext) > 0 || encrypted > 0 {
				t.Errorf("%d frames left, and\n%s", encrypted, strings.Join(plaintext, "\n"))
			}
			a.connect(b)
			b.connect(a)
			run(t, a.container.Namespace, "ip neigh flush dev eth0") // it waits for answers to what was dropped
			if !a.sendMarked(b) {
				t.Error("containers do not reach each other with WireGuard")
			}
		})
	}
}

// The last container takes the devices along, WireGuard's too. The rules go after them: what came by
// WireGuard would reach the host's services otherwise.
func TestRealEncryptedNetworkStopsClosed(t *testing.T) {
	a, b := newEncryptedPair(t, "198.18.0.")
	wire := tapWire(t, a)
	var sending sync.WaitGroup
	sending.Go(func() {
		_, _ = try(a.container.Namespace, "ping -n -i 0.002 -c 200 -W 0.1 -p 504c41494e54455854 10.0.0.3")
	})
	a.sendMarked(b)
	a.before = func(c kernel.Change) {
		switch c.(type) {
		case kernel.DelElements, kernel.DeleteFirewall:
			if out, err := try(a.ns, "ip link show "+realWireGuard); err == nil {
				t.Errorf("%s while there is\n%s", c, out)
			}
		}
	}
	a.applyPlan(plan.Stop(plan.Leaving{
		Network: a.n.Identity, Endpoint: a.container,
		OtherPorts: func(func(string, error) bool) {}, Left: func() ([]plan.HostNetwork, error) { return nil, nil },
	}))
	gone := a.hostNetwork().PlacedNetwork
	a.applyPlan(plan.Forget(a.n.Identity, &gone, nil, nil))
	sending.Wait()
	b.sendMarked(a)
	if plaintext, encrypted := wire.stop(); len(plaintext) > 0 || encrypted == 0 {
		t.Errorf("%d frames were encrypted, and in plaintext passed\n%s", encrypted, strings.Join(plaintext, "\n"))
	}
	if left := run(t, a.ns, "ip -br link; nft list table inet vxlan-driver"); strings.Contains(left, "blue") {
		t.Errorf("left is\n%s", left)
	}
}

// A member that sends in plaintext, since it lost its rules and entries, is not heard.
func TestRealPlaintextIsNotTakenIn(t *testing.T) {
	for name, prefix := range underlays {
		t.Run(name, func(t *testing.T) {
			a, b := newEncryptedPair(t, prefix)
			run(t, b.ns, "nft flush ruleset; bridge fdb flush dev "+realDevice+
				" && bridge fdb append 00:00:00:00:00:00 dev "+realDevice+" dst "+a.v.Local.String()+" self permanent")
			before := a.received()
			b.sendMarked(a)
			dropped := a.drops("plaintext_in")
			if after := a.received(); dropped < 4 || after != before {
				t.Errorf("%d packets were dropped, and the device has received %d and then %d", dropped, before, after)
			}
		})
	}
}

// By WireGuard comes VXLAN of its network from members, and nothing else: neither to this host nor to be
// sent on.
func TestRealOnlyVXLANComesByWireGuard(t *testing.T) {
	a, _ := newEncryptedPair(t, "198.18.0.")
	run(t, a.ns, "sysctl -qw net.ipv4.ip_forward=1; ip route add 10.9.0.0/16 via 198.18.0.11")
	const icmp, udp = unix.IPPROTO_ICMP, unix.IPPROTO_UDP
	vxlan := func(port uint16, vni byte) []byte {
		header := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, 40000), port)
		return append(append(header, 0, 30, 0, 0), 8, 0, 0, 0, 0, 0, vni, 0, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb6)
	}
	for name, tt := range map[string]struct {
		src, dst string
		protocol byte
		payload  []byte
		passes   bool
	}{
		"of a member":                {"198.18.0.11", "198.18.0.10", udp, vxlan(4789, 100), true},
		"an echo request":            {"198.18.0.11", "198.18.0.10", icmp, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}, false},
		"to a service":               {"198.18.0.11", "198.18.0.10", udp, vxlan(53, 100), false},
		"of no member":               {"198.18.0.99", "198.18.0.10", udp, vxlan(4789, 100), false},
		"of another network":         {"198.18.0.11", "198.18.0.10", udp, vxlan(4789, 101), false},
		"to be sent on":              {"198.18.0.11", "198.18.0.12", udp, vxlan(4789, 100), false},
		"to be routed elsewhere":     {"198.18.0.11", "10.9.0.1", icmp, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}, false},
		"from a container's address": {"10.0.0.3", "10.0.0.2", icmp, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}, false},
	} {
		before := a.drops("from_wireguard")
		if _, err := a.standIn.tun.Write(ipv4Packet(tt.src, tt.dst, tt.protocol, tt.payload)); err != nil {
			t.Fatal(err)
		}
		if dropped := a.drops("from_wireguard") - before; (dropped == 0) != tt.passes {
			t.Errorf("%s: %d packets were dropped", name, dropped)
		}
	}
}

func ipv4Packet(src, dst string, protocol byte, payload []byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0}
	b = append(append(b, netip.MustParseAddr(src).AsSlice()...), netip.MustParseAddr(dst).AsSlice()...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(payload)))
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum+sum>>16))
	return append(b, payload...)
}

// A network without encryption works beside, on the same underlay and UDP port.
func TestRealPlainNetworkBesideAnEncryptedOne(t *testing.T) {
	a, b := newEncryptedPair(t, "198.18.0.")
	var red [2]*realHost
	for i, h := range []*encryptedHost{a, b} {
		r := &realHost{TB: t, ns: h.ns, Stack: h.Stack, n: h.n, v: h.v}
		r.n.Identity = network.Identity{ID: "r1", Name: "red", Bridge: network.DeviceName{Name: "br-vxlan-red"},
			Device: network.DeviceName{Name: "vxlan-red"}}
		r.n.Encryption, r.n.Tunnel.VNI, r.n.Subnets, r.v.WireGuard = network.EncryptionOff, 200, nil, ""
		h.applyPlan(plan.RepairFirewall([]plan.HostNetwork{h.hostNetwork(), r.hostNetwork()}, true))
		r.network()
		r.start(5 + i)
		red[i] = r
	}
	forwardAll(true, red[:])
	wire := tapWire(t, a)
	for range 2 {
		if _, err := try(red[0].endpoints[0].Namespace, "ping -n -c 2 -i 0.02 -W 1 10.0.0.6"); err != nil {
			t.Error("containers of the network without encryption do not reach each other")
		}
		if !a.sendMarked(b) || !b.sendMarked(a) {
			t.Error("those of the encrypted one do not")
		}
	}
	if plaintext, encrypted := wire.stop(); len(plaintext) > 0 || encrypted == 0 {
		t.Errorf("%d frames were encrypted, and in plaintext passed\n%s", encrypted, strings.Join(plaintext, "\n"))
	}
}
