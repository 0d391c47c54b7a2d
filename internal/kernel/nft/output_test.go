package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

const (
	nobody    = 65534
	tunnel    = 4789
	agent     = 7947
	listedVNI = 101 // of a network with a list of members
	groupVNI  = 102 // of a network with a multicast group
	otherVNI  = 999 // of nobody here
)

// twoHosts are host a with a container, and host b. Both have the networks' devices and the firewall.
type twoHosts struct {
	testing.TB
	a, b, container string // namespaces
	onA, onB        func(script string) string
	firewallA       *Conn
	insideB         netip.Addr // of the bridge
}

// newTwoHosts connects them by VXLAN over IPv4 or IPv6.
func newTwoHosts(t testing.TB, ipv6 bool) *twoHosts {
	h := &twoHosts{TB: t, a: netnstest.New(t), b: netnstest.New(t), container: netnstest.New(t),
		insideB: netip.MustParseAddr("10.9.0.102")}
	h.onA, h.onB = netnstest.Shell(t, h.a), netnstest.Shell(t, h.b)
	h.onA(fmt.Sprintf("ip link set lo up; ip link add u0 type veth peer name u0 netns %s; ip link add p0 type veth peer "+
		"name e0 netns %s", h.b, h.container))
	for number, sh := range []func(string) string{h.onA, h.onB} {
		sh(fmt.Sprintf(`ip link set lo up; ip address add 198.18.0.%[1]d/24 dev u0; ip address add 198.18.0.2%[1]d/24 dev u0
			ip address add 2001:db8::%[1]d/64 dev u0 nodad; ip link set u0 up`, number+1))
	}
	h.firewallA = h.protect(h.a, ipv6, 1)
	h.protect(h.b, ipv6, 2)
	for number, sh := range []func(string) string{h.onA, h.onB} {
		sh(fmt.Sprintf(`ip link add vx%[4]d type vxlan id %[4]d dstport 4789 local %[2]s remote %[3]s dev u0
			ip link add vx%[5]d type vxlan id %[5]d dstport 4789 local %[2]s dev u0; ip link set vx%[5]d up
			ip link add br0 type bridge; ip address add 10.9.0.10%[1]d/24 dev br0; ip link set br0 up
			ip link set vx%[4]d mtu 1430 master br0 up
			nft 'table netdev arrived { chain vx%[4]d { type filter hook ingress device vx%[4]d priority 0; ether type 0x88b6 counter; }
				chain vx%[5]d { type filter hook ingress device vx%[5]d priority 0; ether type 0x88b6 counter; }; }'`,
			number+1, vtepAddrs(ipv6, number+1), vtepAddrs(ipv6, 2-number), listedVNI, groupVNI))
	}
	h.onA("ip link set p0 master br0 up")
	netnstest.Shell(t, h.container)("ip address add 10.9.0.1/24 dev e0; ip link set e0 mtu 1430 up")
	for _, ns := range []string{h.a, h.b} {
		netnstest.WaitForPorts(t, ns)
		netnstest.WaitForAddrs(t, ns)
	}
	return h
}

func vtepAddrs(ipv6 bool, host int) netip.Addr {
	if ipv6 {
		return netip.MustParseAddr(fmt.Sprintf("2001:db8::%d", host))
	}
	return netip.MustParseAddr(fmt.Sprintf("198.18.0.%d", host))
}

// protect sets the firewall of a host, as two networks and an agent need it.
func (h *twoHosts) protect(ns string, ipv6 bool, number int) *Conn {
	h.Helper()
	c, err := Open(ns)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(c.Close)
	own, other := kernel.IP(vtepAddrs(ipv6, number)), kernel.IP(vtepAddrs(ipv6, 3-number))
	vteps, agents, members := kernel.VTEPs4, kernel.Agents4, kernel.Members4
	if ipv6 {
		vteps, agents, members = kernel.VTEPs6, kernel.Agents6, kernel.Members6
	}
	elements := []kernel.Element{
		{Set: kernel.Underlays, Key: kernel.Device("u0")}, {Set: kernel.VXLANPorts,
			Key: kernel.Port(tunnel)}, {Set: kernel.RootPorts, Key: kernel.Port(tunnel)},
		{Set: kernel.RootPorts, Key: kernel.Port(agent)},
		{Set: kernel.VNIs, Key: kernel.Concat(kernel.Port(tunnel), kernel.VNI(listedVNI))},
		{Set: kernel.OwnVNIs, Key: kernel.Concat(kernel.Port(tunnel), kernel.VNI(listedVNI))}, {Set: kernel.OwnVNIs,
			Key: kernel.Concat(kernel.Port(tunnel), kernel.VNI(groupVNI))},
		{Set: members, Key: kernel.Concat(other, own, kernel.Port(tunnel), kernel.VNI(listedVNI))},
	}
	for _, a := range []kernel.Datum{own, other} {
		elements = append(elements, kernel.Element{Set: vteps, Key: kernel.Concat(a, kernel.Port(tunnel))},
			kernel.Element{Set: agents, Key: kernel.Concat(a, kernel.Port(agent))})
	}
	apply(h, c, kernel.SetFirewall{Elements: elements})
	return c
}

// asUser opens a socket in a namespace as a process of a user would.
func asUser(t testing.TB, ns string, user, family, kind int) int {
	t.Helper()
	var fd int
	err := netns.Do(ns, func() (err error) {
		if _, err := unix.SetfsuidRetUid(user); err != nil {
			return err
		}
		fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		_, backErr := unix.SetfsuidRetUid(0)
		return errors.Join(err, backErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func familyOf(a netip.Addr) int {
	if a.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

func sockaddr(a netip.Addr, port int) unix.Sockaddr {
	if a.Is6() {
		return &unix.SockaddrInet6{Addr: a.As16(), Port: port}
	}
	return &unix.SockaddrInet4{Addr: a.As4(), Port: port}
}

// vxlanPacket has a frame for everybody (RFC 7348, section 5).
func vxlanPacket(vni uint32) []byte {
	b := binary.BigEndian.AppendUint32([]byte{8, 0, 0, 0}, vni<<8)
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x88, 0xb6)
	return append(b, make([]byte, 46)...)
}

// attack is a packet that a process sends to a VXLAN port.
type attack struct {
	name string
	ipv6 bool
	from netip.Addr // another host's; invalid: the process does not choose
	to   netip.Addr
	vnis []uint32 // of the packets that it hands over at once
	ns   func(*twoHosts) string
	says string // the rule that stops it
	// device and arrives say where the frame comes out if nothing stops it.
	device  string
	arrives func(*twoHosts) string
}

func onHostA(h *twoHosts) string { return h.a }
func onHostB(h *twoHosts) string { return h.b }

var (
	loopback = netip.MustParseAddr("127.0.0.1")
	attacks  = []attack{
		{"another host", false, netip.Addr{}, vtepAddrs(false, 2), []uint32{listedVNI}, onHostA,
			"a user's process to a VTEP over IPv4", "vx101", onHostB},
		{"another host over IPv6", true, netip.Addr{}, vtepAddrs(true, 2), []uint32{listedVNI}, onHostA,
			"a user's process to a VTEP over IPv6", "vx101", onHostB},
		{"another host behind another VNI", false, netip.Addr{}, vtepAddrs(false, 2), []uint32{otherVNI, listedVNI}, onHostA,
			"a user's process to a VTEP over IPv4", "vx101", onHostB},
		{"another address of a host, of a multicast network", false, netip.Addr{}, netip.MustParseAddr("198.18.0.22"),
			[]uint32{groupVNI}, onHostA, "a user's process to another host's VXLAN port", "vx102", onHostB},
		{"its own host behind another VNI", false, netip.Addr{}, loopback, []uint32{otherVNI, listedVNI}, onHostA,
			"a user's process to this host's VXLAN port", "vx101", onHostA},
		{"its own host, of a multicast network", false, netip.Addr{}, loopback, []uint32{groupVNI}, onHostA,
			"a user's process to this host's VXLAN port", "vx102", onHostA},
		{"its own host by broadcast, of a multicast network", false, netip.Addr{}, netip.MustParseAddr("198.18.0.255"),
			[]uint32{groupVNI}, onHostA, "a user's process to this host's VXLAN port", "vx102", onHostB},
		{"its own host with a member's address", true, vtepAddrs(true, 2), vtepAddrs(true, 1), []uint32{listedVNI}, onHostA,
			"a user's process to a VTEP over IPv6", "vx101", onHostA},
	}
)

// send makes the attack as a user.
func (a attack) send(h *twoHosts, user int) error {
	fd := asUser(h, a.ns(h), user, familyOf(a.to), unix.SOCK_DGRAM)
	errs := []error{unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1)}
	if a.from.IsValid() {
		errs = append(errs, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1),
			unix.Bind(fd, sockaddr(a.from, 0)))
	}
	var packets []byte
	for _, vni := range a.vnis {
		packets = append(packets, vxlanPacket(vni)...)
	}
	if len(a.vnis) > 1 {
		errs = append(errs, unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, len(packets)/len(a.vnis)))
	}
	if err := errors.Join(errs...); err != nil {
		h.Fatal(err)
	}
	return unix.Sendto(fd, packets, 0, sockaddr(a.to, tunnel))
}

// arrived counts the frames that came out of the tunnel.
func (a attack) arrived(h *twoHosts) string {
	return netnstest.Shell(h, a.arrives(h))("nft list chain netdev arrived " + a.device)
}

// waitForArrival waits until one more frame came out than before.
func (a attack) waitForArrival(h *twoHosts, before string) bool {
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if a.arrived(h) != before {
			return true
		}
	}
	return false
}

// dropped returns how much the rule has dropped.
func dropped(t testing.TB, c *Conn, comment string) uint64 {
	t.Helper()
	all, err := c.DropCounters()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(d kernel.DropCounter) bool { return d.Comment == comment })
	if i < 0 {
		t.Fatalf("no rule %q drops", comment)
	}
	return all[i].Packets
}

// A container cannot hide a packet for its host behind one with another VNI.
func TestContainersCannotHideVXLAN(t *testing.T) {
	a := attack{to: netip.MustParseAddr("10.9.0.101"), vnis: []uint32{otherVNI, listedVNI}, device: "vx101",
		arrives: onHostA,
		ns:      func(h *twoHosts) string { return h.container }, says: "container to another address of this host"}
	h := newTwoHosts(t, false)
	before := a.arrived(h)
	if err := a.send(h, nobody); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(3 * time.Second); dropped(t, h.firewallA,
		a.says) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q dropped nothing", a.says)
		}
	}
	if a.arrived(h) != before {
		t.Error("it arrived")
	}
	h.onA("nft flush chain inet vxlan-driver container_to_vtep")
	if err := a.send(h, nobody); err != nil || !a.waitForArrival(h, before) {
		t.Errorf("sent %v, or it did not arrive without the rule either: this test proves nothing", err)
	}
}

func droppedByReason(t testing.TB, c *Conn, reason string) (n uint64) {
	t.Helper()
	all, err := c.DropCounters()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.Reason == reason {
			n += d.Packets
		}
	}
	return n
}

// deleteRule deletes a rule of host a.
func (h *twoHosts) deleteRule(chain, comment string) {
	h.Helper()
	h.onA(fmt.Sprintf(`h=$(nft -a list chain inet vxlan-driver %[1]s | sed -n '/comment "%[2]s"/s/.*# handle //p')
		nft delete rule inet vxlan-driver %[1]s handle $h`, chain, comment))
}

// A user of a member host cannot send what another host, or its own, takes for VXLAN of the driver.
// Root can, and whom vxland.toml allows. Without the rule the attack succeeds.
func TestUsersCannotSendVXLAN(t *testing.T) {
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			h := newTwoHosts(t, a.ipv6)
			before := a.arrived(h)
			if err := a.send(h, nobody); err != unix.EPERM {
				t.Errorf("sent: %v", err)
			}
			if n := dropped(t, h.firewallA, a.says); n != 1 {
				t.Errorf("%q dropped %d", a.says, n)
			}
			if got := a.arrived(h); got != before {
				t.Error("it arrived")
			}
			apply(t, h.firewallA, kernel.AddElements{Elements: []kernel.Element{{Set: kernel.AllowedUsers,
				Key: kernel.User(1000)}}})
			for name, user := range map[string]int{"root": 0, "an allowed user": 1000} {
				before := a.arrived(h)
				if err := a.send(h, user); err != nil || !a.waitForArrival(h, before) {
					t.Errorf("%s: sent %v, or it did not arrive", name, err)
				}
			}
			h.onA("nft flush chain inet vxlan-driver from_user")
			before = a.arrived(h)
			if err := a.send(h, nobody); err != nil || !a.waitForArrival(h, before) {
				t.Errorf("sent %v, or it did not arrive without the rule either: this test proves nothing", err)
			}
		})
	}
}

// echoUDP answers what comes to an address of a namespace, until the test ends.
func echoUDP(t testing.TB, ns string, at netip.Addr) (port int) {
	t.Helper()
	var conn *net.UDPConn
	err := netns.Do(ns, func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(buf[:n], from) // who asked misses it
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// exchange sends a datagram to the other host's bridge, and waits for it to come back.
func exchange(t testing.TB, ns string, user int, to netip.Addr, port, size int) error {
	t.Helper()
	fd := asUser(t, ns, user, unix.AF_INET, unix.SOCK_DGRAM)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(fd, make([]byte, size), 0, sockaddr(to, port)); err != nil {
		return err
	}
	n, _, err := unix.Recvfrom(fd, make([]byte, 65536), 0)
	for err == unix.EINTR {
		n, _, err = unix.Recvfrom(fd, make([]byte, 65536), 0)
	}
	if err == nil && n != size {
		return fmt.Errorf("%d bytes came back", n)
	}
	return err
}

// The kernel wraps what users' processes send to containers of other hosts, in a container and on the
// host itself. Such packets may have the user's socket still, and pass.
func TestUsersReachContainersOfOtherHosts(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		h := newTwoHosts(t, ipv6)
		port := echoUDP(t, h.b, h.insideB)
		for name, ns := range map[string]string{"container": h.container, "host": h.a} {
			for _, user := range []int{0, 1000, nobody} {
				for _, size := range []int{10, 1400, 20_000} { // the last one in fragments
					if err := exchange(t, ns, user, h.insideB, port, size); err != nil {
						t.Errorf("IPv6 underlay %t: user %d of the %s, %d bytes: %v", ipv6, user, name, size, err)
					}
				}
			}
		}
		if n := droppedByReason(t, h.firewallA, "user_to_vtep"); n > 0 {
			t.Errorf("IPv6 underlay %t: %d packets were dropped", ipv6, n)
		}
		h.deleteRule("from_user", "wrapped by the kernel")
		fd := asUser(t, h.a, nobody, unix.AF_INET, unix.SOCK_DGRAM)
		if err := unix.Sendto(fd, []byte("x"), 0, sockaddr(h.insideB, port)); err != nil {
			t.Fatal(err)
		}
		if all := droppedByReason(t, h.firewallA, "user_to_vtep"); all == 0 {
			t.Errorf("IPv6 underlay %t: such packets are not known by what they have in front: this test proves nothing", ipv6)
		}
		if tracked := h.onA("grep dport=4789 /proc/net/nf_conntrack || true"); tracked != "" {
			t.Errorf("tunnel packets are tracked:\n%s", tracked)
		}
	}
}

// No user talks to an agent, of this host or another. What is not UDP or TCP has no port.
func TestUsersCannotReachAgents(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		h := newTwoHosts(t, ipv6)
		says := "a user's process to an agent over IPv4"
		if ipv6 {
			says = "a user's process to an agent over IPv6"
		}
		for number, want := range []uint64{1, 3} {
			to := vtepAddrs(ipv6, number+1)
			if err := sendTo(t, h.a, nobody, to, agent); err != unix.EPERM {
				t.Errorf("UDP to %v: %v", to, err)
			}
			if err := sendTo(t, h.a, 0, to, agent); err != nil && err != unix.ECONNREFUSED {
				t.Errorf("root's UDP to %v: %v", to, err)
			}
			if err := sendTo(t, h.a, nobody, to, agent+1); err != nil {
				t.Errorf("UDP to another port of %v: %v", to, err)
			}
			if got := connect(t, h.a, nobody, to); got != unix.EINPROGRESS {
				t.Errorf("TCP to %v: %v", to, got)
			}
			// Nobody listens.
			if got := connect(t, h.a, 0, to); got != unix.ECONNREFUSED {
				t.Errorf("root's TCP to %v: %v", to, got)
			}
			if n := dropped(t, h.firewallA, says); n < want+1 {
				t.Errorf("%q dropped %d", says, n)
			}
		}
		apply(t, h.firewallA, kernel.AddElements{Elements: []kernel.Element{{Set: kernel.AllowedUsers,
			Key: kernel.User(nobody)}}})
		if got := connect(t, h.a, nobody, vtepAddrs(ipv6, 2)); got != unix.ECONNREFUSED {
			t.Errorf("an allowed user's TCP: %v", got)
		}
	}
}

func sendTo(t testing.TB, ns string, user int, to netip.Addr, port int) error {
	t.Helper()
	return unix.Sendto(asUser(t, ns, user, familyOf(to), unix.SOCK_DGRAM), []byte("x"), 0, sockaddr(to, port))
}

// connect tries to connect to an agent for a moment. EINPROGRESS: there was no answer.
func connect(t testing.TB, ns string, user int, to netip.Addr) error {
	t.Helper()
	fd := asUser(t, ns, user, familyOf(to), unix.SOCK_STREAM|unix.SOCK_NONBLOCK)
	if err := unix.Connect(fd, sockaddr(to, agent)); err != unix.EINPROGRESS {
		return err
	}
	ready := 0
	for deadline := time.Now().Add(300 * time.Millisecond); ready < 1 && time.Now().Before(deadline); {
		// A signal may end it at any time.
		ready, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 50)
	}
	if ready < 1 {
		return unix.EINPROGRESS
	}
	number, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		t.Fatal(err)
	}
	return unix.Errno(number)
}

// formerOutput are the rules of chain output as they were before users' packets were dropped.
const formerOutput = `nft -f - <<END
flush chain inet vxlan-driver output
add rule inet vxlan-driver output meta nfproto ipv4 meta l4proto udp ip daddr . udp dport @vteps4 notrack accept
add rule inet vxlan-driver output meta nfproto ipv6 meta l4proto udp ip6 daddr . udp dport @vteps6 notrack
END`

// threadTime is how long this thread has run.
func threadTime(t testing.TB) int64 {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
	return now.Nano()
}

// BenchmarkOutputRules compares what a packet costs with the rules and with the former ones. One run
// has many short turns of both. Of each the tenth part counts that took the least time of the processor:
// what else the machine does makes turns longer, and never shorter.
func BenchmarkOutputRules(b *testing.B) {
	h := newTwoHosts(b, false)
	echo := echoUDP(b, h.b, h.insideB)
	const port = 9 // where nobody reads, and nobody answers
	if err := unix.Bind(asUser(b, h.b, 0, unix.AF_INET, unix.SOCK_DGRAM),
		sockaddr(netip.IPv4Unspecified(), port)); err != nil {
		b.Fatal(err)
	}
	for name, from := range map[string]struct {
		ns   string
		to   netip.Addr
		port int
	}{
		"from a container":           {h.container, h.insideB, port},
		"from the host, wrapped":     {h.a, h.insideB, port},
		"from the host, no tunnel's": {h.a, netip.MustParseAddr("198.18.0.22"), port},
	} {
		b.Run(name, func(b *testing.B) {
			if err := exchange(b, from.ns, nobody, h.insideB, echo, 10); err != nil {
				b.Fatal(err)
			}
			fd := asUser(b, from.ns, nobody, unix.AF_INET, unix.SOCK_DGRAM)
			var times [2][]float64
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			rules := h.onA("nft -s list chain inet vxlan-driver output")
			setRules := []string{formerOutput, "nft -f - <<END\nflush chain inet vxlan-driver output\n" + rules + "END"}
			const packets = 500
			for b.Loop() {
				for which, script := range setRules {
					h.onA(script)
					start := threadTime(b)
					for range packets {
						_ = unix.Sendto(fd, make([]byte, 64), 0, sockaddr(from.to, from.port))
					}
					times[which] = append(times[which], float64(threadTime(b)-start)/packets)
				}
			}
			for which, unit := range []string{"ns/packet-before", "ns/packet-now"} {
				slices.Sort(times[which])
				b.ReportMetric(times[which][len(times[which])/10], unit)
			}
			b.ReportMetric(times[1][len(times[1])/10]/times[0][len(times[0])/10], "ratio")
		})
	}
}
