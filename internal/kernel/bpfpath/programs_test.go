package bpfpath

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// What a program returns (linux/bpf.h).
const (
	next     = 0xffffffff // TCX_NEXT
	redirect = 7          // TC_ACT_REDIRECT
)

// loopback is the index of the one device of a new namespace, which stands for all of a host.
const loopback = 1

var (
	macA = kernel.MAC{2, 0, 0, 0, 0, 0xa} // of this host's container
	macB = kernel.MAC{2, 0, 0, 0, 0, 0xb} // of the container of another host
	ipA  = netip.MustParseAddr("10.0.0.2")
	ipB  = netip.MustParseAddr("10.0.0.3")
	ip6A = netip.MustParseAddr("fd00::2")
	ip6B = netip.MustParseAddr("fd00::3")
	here = netip.MustParseAddr("198.18.0.10")
	peer = netip.MustParseAddr("198.18.0.11")

	here6 = netip.MustParseAddr("fd18::10")
	peer6 = netip.MustParseAddr("fd18::11")
)

// machine has the programs, and tables for container a of this host and b of another.
type machine struct {
	testing.TB
	path    string
	objects programsObjects
	network programsNetwork
}

func newMachine(t testing.TB, underlay netip.Addr) *machine {
	t.Helper()
	requireTCX(t)
	m := &machine{TB: t, path: netnstest.New(t)}
	netnstest.Shell(t, m.path)("ip link set lo up")
	spec, err := newSpec(canTakeAggregates())
	if err != nil {
		t.Fatal(err)
	}
	if err := spec.LoadAndAssign(&m.objects, nil); err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { m.objects.Close() })
	m.network = programsNetwork{
		Local: toAddress(underlay), Device: loopback, Underlay: loopback,
		Vni: toNetwork32(100 << 8), Port: toNetwork16(4789),
		Mtu: 1450, FirstPort: 49152, PortCount: 0xffff - 49152, Ttl: 64,
	}
	if underlay.Is6() {
		m.network.Flags |= networkIPv6 | networkChecksum
	}
	m.setPort()
	vtep := peer
	if underlay.Is6() {
		vtep = peer6
	}
	put(t, m.objects.Remotes, station(macB), programsRemote{Vtep: toAddress(vtep), Peer: 1})
	put(t, m.objects.Locals, station(macA), uint32(loopback))
	put(t, m.objects.Tunnels, tunnelOf(m.network), tunnelEndOf(m.network))
	put(t, m.objects.ValidJiffies, uint32(0), ^uint64(0))
	return m
}

// with returns the machine with a change of how it sends.
func (m *machine) with(t testing.TB, change func(*programsNetwork)) *machine {
	t.Helper()
	changed := *m
	changed.TB = t
	if change != nil {
		change(&changed.network)
	}
	changed.setPort()
	return &changed
}

// setPort sets what is known of a's port.
func (m *machine) setPort() {
	m.Helper()
	put(m, m.objects.Ports, uint32(loopback), programsPort{Network: m.network, Mac: macA})
}

func put[K, V any](t testing.TB, table *ebpf.Map, key K, value V) {
	t.Helper()
	if err := table.Put(key, value); err != nil {
		t.Fatal(err)
	}
}

func station(mac kernel.MAC) programsStation { return programsStation{Device: loopback, Mac: mac} }

// skBuff is a struct __sk_buff.
type skBuff struct {
	Len, PktType, Mark, QueueMapping, Protocol   uint32
	VLANPresent, VLANTCI, VLANProto, Priority    uint32
	IngressIfindex, Ifindex, TCIndex             uint32
	CB                                           [5]uint32
	Hash, TCClassid, Data, DataEnd, NAPI, Family uint32
	RemoteIP4, LocalIP4                          uint32
	RemoteIP6, LocalIP6                          [4]uint32
	RemotePort, LocalPort, DataMeta              uint32
	FlowKeys, Tstamp                             uint64
	WireLen, GSOSegs                             uint32
	SK                                           uint64
	GSOSize                                      uint32
	TstampType                                   uint32
	HWTstamp                                     uint64
}

// run runs a program on a frame, and returns what it makes of it.
func (m *machine) run(p *ebpf.Program, frame []byte, of skBuff) (verdict uint32, out []byte) {
	m.Helper()
	of.Ifindex = loopback
	out = make([]byte, len(frame)+256)
	opts := ebpf.RunOptions{Data: frame, DataOut: out, Context: &of}
	err := netns.Do(m.path, func() (err error) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		verdict, err = p.Run(&opts)
		return err
	})
	if err != nil {
		m.Fatal(err)
	}
	return verdict, opts.DataOut
}

func toNetwork16(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
func toNetwork32(v uint32) uint32 {
	return binary.NativeEndian.Uint32(binary.BigEndian.AppendUint32(nil, v))
}
