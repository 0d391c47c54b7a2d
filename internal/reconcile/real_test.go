package reconcile_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/netstack"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
)

// Hosts are namespaces on an underlay, which is a bridge in one more.

const (
	realBridge = "br-vxlan-blue"
	realDevice = "vxlan-blue"
)

type realHost struct {
	*netstack.Stack
	testing.TB
	ns        string
	n         network.Network
	v         network.VTEP
	endpoints []network.Endpoint
	applied   int
	before    func(kernel.Change) // called before each change; nil: nothing is
}

// Apply counts changes.
func (h *realHost) Apply(c kernel.Change) error {
	h.applied++
	if h.before != nil {
		h.before(c)
	}
	return h.Stack.Apply(c)
}

// ChangeForwardingTables counts as one.
func (h *realHost) ChangeForwardingTables(c kernel.ForwardingChanges) error {
	h.applied++
	return h.Stack.ChangeForwardingTables(c)
}

// SetPort counts too.
func (h *realHost) SetPort(name string, f kernel.PortFlags) error {
	h.applied++
	return h.Stack.SetPort(name, f)
}

// newRealHosts returns hosts, each with its devices and the others as flood entries; the underlay's
// addresses are prefix with 10, 11, … at the end.
func newRealHosts(t *testing.T, count int, prefix string, learning bool) []*realHost {
	t.Helper()
	sw := newSwitch(t)
	var hosts []*realHost
	for i := range count {
		hosts = append(hosts, newRealHost(t, sw, i, netip.MustParseAddr(fmt.Sprint(prefix, 10+i)), learning))
	}
	for _, h := range hosts {
		for _, other := range hosts {
			if other != h {
				h.v.Remotes = append(h.v.Remotes, other.v.Local)
				h.v.Flood = h.v.Remotes
			}
		}
		h.v.Flood = h.v.Remotes
		h.network()
	}
	return hosts
}

// newSwitch returns the namespace of an underlay.
func newSwitch(t *testing.T) string {
	t.Helper()
	sw := netnstest.New(t)
	run(t, sw, "ip link add name sw type bridge mcast_snooping 0 && ip link set sw up")
	return sw
}

func newRealHost(t testing.TB, sw string, i int, local netip.Addr, learning bool) *realHost {
	t.Helper()
	h := &realHost{TB: t, ns: netnstest.New(t)}
	h.Stack = open(t, h.ns)
	port := fmt.Sprintf("p%d", i)
	veth := kernel.Link{Name: "eth0", Kind: kernel.KindVeth, MTU: 1500, Peer: kernel.Peer{Name: port, Namespace: sw, MTU: 1500}}
	h.apply(kernel.CreateLink{Link: veth},
		kernel.AddAddr{Name: "eth0", Addr: kernel.Addr{Prefix: netip.PrefixFrom(local, 64-40*boolInt(local.Is4())), NoDAD: local.Is6()}},
		kernel.SetUp{Name: "eth0"}, kernel.SetUp{Name: "lo"})
	run(t, sw, "ip link set "+port+" master sw up")
	id := network.Identity{ID: "b1", Name: "blue", Bridge: network.DeviceName{Name: realBridge}, Device: network.DeviceName{Name: realDevice}}
	h.n = network.Network{Identity: id, Tunnel: kernel.Tunnel{VNI: 100, Port: 4789}, Learning: kernel.Some(learning), Metric: 100,
		Subnets: []network.Subnet{
			{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1"), HostAddress: netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", 200+i))},
			{Prefix: netip.MustParsePrefix("fd00:10::/64"), Gateway: netip.MustParseAddr("fd00:10::1"), HostAddress: netip.MustParseAddr(fmt.Sprintf("fd00:10::%d", 200+i))},
		}}
	h.v = network.VTEP{Local: local, Interface: "eth0", MTU: 1400}
	return h
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func open(t testing.TB, path string) *netstack.Stack {
	t.Helper()
	ns, err := netstack.OpenWithFastPath(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ns.Close)
	return ns
}

func (h *realHost) apply(changes ...kernel.Change) {
	h.Helper()
	for _, c := range changes {
		if err := h.Stack.Apply(c); err != nil {
			h.Fatal(err)
		}
	}
}

func (h *realHost) network() {
	h.Helper()
	h.applyPlan(plan.RepairDevices(h.hostNetwork()))
}

func (h *realHost) hostNetwork() plan.HostNetwork {
	return plan.HostNetwork{PlacedNetwork: plan.PlacedNetwork{Network: h.n, VTEP: h.v}}
}

// applyPlan applies a plan about the host alone.
func (h *realHost) applyPlan(p plan.Plan) {
	h.Helper()
	if _, err := reconcile.Apply(reconcile.Namespaces{Host: h}, p); err != nil {
		h.Fatal(err)
	}
}

func forwardingPlan(f plan.Forwarding) plan.Plan {
	return plan.Plan{Network: &plan.NetworkState{Forwarding: &f}}
}

// start gives the host a container with the addresses 10.0.0.i and fd00:10::i.
func (h *realHost) start(i int) network.Endpoint {
	h.Helper()
	addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
	e := network.Endpoint{ContainerID: fmt.Sprintf("c%d", i), Namespace: netnstest.New(h.TB), Interface: "eth0", MAC: network.EndpointMAC(100, addr),
		Addrs: []netip.Prefix{netip.PrefixFrom(addr, 24), netip.MustParsePrefix(fmt.Sprintf("fd00:10::%d/64", i))}}
	space := open(h.TB, e.Namespace)
	p := plan.Start(h.hostNetwork().PlacedNetwork, e, plan.Beside{})
	connect := plan.Plan{Connect: p.Connect}
	connect.Connect.Probe.Addrs, connect.Connect.FromElsewhere, connect.Connect.Announce = nil, true, true
	if _, err := reconcile.Apply(reconcile.Namespaces{Host: h, Container: space}, connect); err != nil {
		h.Fatal(err)
	}
	// The bridge takes frames from a new port once the kernel has told it of the carrier, up to a
	// second later (linkwatch); an announcement before that is lost.
	run(h, h.ns, "until bridge link show dev "+h.n.Port(e)+" | grep -q forwarding; do sleep 0.01; done")
	h.endpoints = append(h.endpoints, e)
	return e
}

// stop removes the host's last container.
func (h *realHost) stop() {
	h.Helper()
	last := len(h.endpoints) - 1
	h.applyPlan(plan.StopUnrecorded(h.n.Identity, h.endpoints[last]))
	h.endpoints = h.endpoints[:last]
}

// remotes is what the host says of itself.
func (h *realHost) remotes() []plan.Remote {
	bridge := plan.Remote{MAC: network.BridgeMAC(100, h.v.Local), VTEP: h.v.Local}
	for _, s := range h.n.Subnets {
		bridge.Addrs = append(bridge.Addrs, s.HostAddress)
	}
	all := []plan.Remote{bridge}
	for _, e := range h.endpoints {
		r := plan.Remote{MAC: e.MAC, VTEP: h.v.Local}
		for _, p := range e.Addrs {
			r.Addrs = append(r.Addrs, p.Addr())
		}
		all = append(all, r)
	}
	return all
}

// forward has the host know what the others say, and returns what was wanted.
func (h *realHost) forward(staticFDB bool, others ...*realHost) plan.Forwarding {
	h.Helper()
	var remotes []plan.Remote
	for _, o := range others {
		if o != h {
			remotes = append(remotes, o.remotes()...)
		}
	}
	f := plan.Forward(h.n, h.v, plan.Known{WishFastPath: plan.WishFastPath, StaticFDB: staticFDB, Local: h.endpoints, Remotes: plan.NewRemotes(remotes...)})
	// The tables alone: a packet that passes the bridge is what these tests listen for.
	f.FastPath.Ports = nil
	h.applyPlan(forwardingPlan(f))
	return f
}

func forwardAll(staticFDB bool, hosts []*realHost) {
	for _, h := range hosts {
		h.forward(staticFDB, hosts...)
	}
}

func run(t testing.TB, ns, script string) string {
	t.Helper()
	out, err := try(ns, script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

func try(ns, script string) (string, error) {
	var out []byte
	err := netns.Do(ns, func() (err error) {
		out, err = exec.Command("sh", "-c", script).CombinedOutput()
		return err
	})
	return string(out), err
}

// tap hears what passes a device, of ARP, neighbour discovery and unicast.
type tap struct {
	*testing.T
	fd int
}

// markerType is for local experiments (IEEE 802, section 9.2.4).
const markerType = 0x88b5

func listen(t *testing.T, ns, device string) tap {
	t.Helper()
	conn := open(t, ns)
	index, err := conn.Index(device)
	if err != nil {
		t.Fatal(err)
	}
	p := tap{T: t}
	err = netns.Do(ns, func() (err error) {
		p.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
		if err != nil {
			return err
		}
		wait := unix.NsecToTimeval(int64(5 * time.Second))
		return os.NewSyscallError("listen", firstErr(
			unix.SetsockoptTimeval(p.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait),
			unix.Bind(p.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: index})))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(p.fd) })
	return p
}

func firstErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func htons(v uint16) uint16 { return binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)) }

// send sends a frame.
func (p tap) send(frame []byte) {
	p.Helper()
	if _, err := unix.Write(p.fd, frame); err != nil {
		p.Fatal(err)
	}
}

// until returns what passed until a marker did, which from sends to all.
func (p tap) until(from tap) []string {
	p.Helper()
	broadcast := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	marker := binary.BigEndian.AppendUint16(append(broadcast, 2, 0, 0, 0, 0, 0xee), markerType)
	from.send(append(marker, make([]byte, 46)...)) // the least that Ethernet carries
	var heard []string
	b := make([]byte, 2000)
	for {
		n, err := unix.Read(p.fd, b)
		if err != nil {
			p.Fatalf("the marker did not come; heard %v: %v", heard, err)
		}
		if n >= 14 && binary.BigEndian.Uint16(b[12:]) == markerType {
			return heard
		}
		if s := describe(b[:n]); s != "" {
			heard = append(heard, s)
		}
	}
}

// describe names a frame that is to be counted. Other multicast is IPv6's own (router solicitation,
// group membership).
func describe(f []byte) string {
	switch typ := binary.BigEndian.Uint16(f[12:]); {
	case typ == unix.ETH_P_ARP && f[21] == 1:
		return fmt.Sprintf("who-has %s from %s", netip.AddrFrom4([4]byte(f[38:42])), netip.AddrFrom4([4]byte(f[28:32])))
	case typ == unix.ETH_P_ARP:
		return fmt.Sprintf("is-at %s", netip.AddrFrom4([4]byte(f[28:32])))
	case typ == unix.ETH_P_IPV6 && f[20] == unix.IPPROTO_ICMPV6 && (f[54] == 135 || f[54] == 136):
		return fmt.Sprintf("nd%d %s", f[54], netip.AddrFrom16([16]byte(f[62:78])))
	case f[0]&1 == 0:
		return fmt.Sprintf("unicast %x to %s", typ, kernel.MAC(f[:6]))
	}
	return ""
}

func arp(op byte, from network.Endpoint, sender, target string) []byte {
	mac := from.MAC
	b := append([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac[:]...)
	b = append(b, 8, 6, 0, 1, 8, 0, 6, 4, 0, op)
	b = append(append(b, mac[:]...), netip.MustParseAddr(sender).AsSlice()...)
	return append(append(b, 0, 0, 0, 0, 0, 0), netip.MustParseAddr(target).AsSlice()...)
}

// with tells whether any of the texts has the part.
func with(texts []string, part string) bool {
	return strings.Contains(strings.Join(texts, "\n"), part)
}
