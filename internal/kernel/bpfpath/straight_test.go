package bpfpath

import (
	"bytes"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"

	"vxlan-driver/internal/kernel"
)

// newEncryptedMachine has container a on an encrypted network, whose other host takes IP packets.
func newEncryptedMachine(t *testing.T, underlay netip.Addr) *machine {
	t.Helper()
	m := newMachine(t, underlay)
	m.network = programsNetwork{Device: loopback, Mtu: 1390, Flags: networkEncrypted}
	m.setPort()
	vtep := toAddress(peer)
	put(t, m.objects.Remotes, station(macB), programsRemote{Vtep: vtep, Peer: 1})
	for _, a := range []netip.Addr{ipA, ip6A} {
		put(t, m.objects.Addresses, placeOf(loopback, a), programsOwner{Mac: macA})
	}
	for _, a := range []netip.Addr{ipB, ip6B} {
		put(t, m.objects.Addresses, placeOf(loopback, a), programsOwner{Mac: macB, Vtep: vtep})
	}
	put(t, m.objects.Takers, placeOf(loopback, peer), uint32(0))
	put(t, m.objects.Wireguard, uint32(loopback), uint32(loopback))
	return m
}

// straightFrame is a frame from a to b with some protocol.
func straightFrame(protocol layers.IPProtocol, payload int) frame {
	return frame{source: macA, destination: macB, from: ipA, to: ipB, protocol: protocol, ttl: 64, payload: text(payload)}
}

func straightFrame6(protocol layers.IPProtocol, payload ...byte) frame {
	return frame{source: macA, destination: macB, from: ip6A, to: ip6B, protocol: protocol, ttl: 255, payload: payload}
}

// icmp6 is a message of ICMPv6 of a type, behind an extension header or not.
func icmp6(kind byte) []byte { return append([]byte{kind, 0, 0, 0}, text(28)...) }

const (
	icmp6Number     = 58
	fragmentNumber  = 44
	neighbourQuery  = 135
	neighbourAnswer = 136
	echoRequest     = 128
)

// straightFrames are frames from a to b, and whether they go without a VXLAN header.
func straightFrames(t *testing.T) map[string]struct {
	frame []byte
	want  uint32
} {
	raw6 := func(payload []byte) frame { f := straightFrame6(0); f.payload = payload; return f }
	number := func(f frame, protocol byte) []byte {
		b := f.bytes(t)
		b[14+6] = protocol
		return b
	}
	fragment := func(protocol byte) []byte {
		return append([]byte{protocol, 0, 0, 1, 0, 0, 0, 9}, icmp6(neighbourQuery)...)
	}
	behindOptions := append([]byte{icmp6Number, 0, 1, 4, 0, 0, 0, 0}, icmp6(neighbourQuery)...)
	options := straightFrame(layers.IPProtocolUDP, 30).bytes(t)
	options[14] = 0x46 // the first words of UDP are options then
	with := func(change func(*frame)) []byte { f := udpFrame(9); change(&f); return f.bytes(t) }
	return map[string]struct {
		frame []byte
		want  uint32
	}{
		"UDP":                     {udpFrame(9).bytes(t), redirect},
		"odd size":                {udpFrame(333).bytes(t), redirect},
		"largest":                 {udpFrame(1390 - 28).bytes(t), redirect},
		"TCP":                     {straightFrame(layers.IPProtocolTCP, 77).bytes(t), redirect},
		"ping":                    {straightFrame(layers.IPProtocolICMPv4, 56).bytes(t), redirect},
		"GRE":                     {straightFrame(47, 56).bytes(t), redirect},
		"a fragment":              {with(func(f *frame) { f.fragment = 100 }), redirect},
		"with options":            {options, redirect},
		"without a checksum":      {with(func(f *frame) { f.noChecksum = true }), redirect},
		"IPv6 UDP":                {straightFrame6(layers.IPProtocolUDP, 1, 2, 3).bytes(t), redirect},
		"IPv6 TCP":                {straightFrame6(layers.IPProtocolTCP, 1).bytes(t), redirect},
		"IPv6 GRE":                {number(raw6(text(9)), 47), redirect},
		"IPv6 ping":               {number(raw6(icmp6(echoRequest)), icmp6Number), redirect},
		"packet too big":          {number(raw6(icmp6(2)), icmp6Number), redirect},
		"IPv6 fragment":           {number(raw6(fragment(17)), fragmentNumber), redirect},
		"IPv6 nothing next":       {number(raw6(nil), 59), redirect},
		"one byte too long":       {udpFrame(1390 - 28 + 1).bytes(t), next},
		"padding":                 {with(func(f *frame) { f.payload, f.padding = text(1), "12345" }), next},
		"shorter than it says":    {udpFrame(30).bytes(t)[:60], next},
		"IGMP":                    {straightFrame(2, 8).bytes(t), next},
		"in a VLAN":               {with(func(f *frame) { f.vlan = true }), next},
		"another's MAC":           {with(func(f *frame) { f.source = kernel.MAC{2, 9} }), next},
		"another's address":       {with(func(f *frame) { f.from = netip.MustParseAddr("10.0.0.9") }), next},
		"an address elsewhere":    {with(func(f *frame) { f.to = netip.MustParseAddr("10.9.0.9") }), next},
		"the remote's address":    {with(func(f *frame) { f.from = ipB }), next},
		"its own address":         {with(func(f *frame) { f.to = ipA }), next},
		"for another MAC":         {with(func(f *frame) { f.destination = kernel.MAC{2, 7} }), next},
		"broadcast":               {with(func(f *frame) { f.destination = kernel.MAC{255, 255, 255, 255, 255, 255} }), next},
		"multicast":               {with(func(f *frame) { f.to = netip.MustParseAddr("239.1.1.1") }), next},
		"neighbour solicitation":  {number(raw6(icmp6(neighbourQuery)), icmp6Number), next},
		"neighbour advertisement": {number(raw6(icmp6(neighbourAnswer)), icmp6Number), next},
		"MLD":                     {number(raw6(icmp6(130)), icmp6Number), next},
		"empty ICMPv6":            {number(raw6(nil), icmp6Number), next},
		"ICMPv6 in fragments":     {number(raw6(fragment(icmp6Number)), fragmentNumber), next},
		"options in fragments":    {number(raw6(fragment(60)), fragmentNumber), next},
		"hop-by-hop options":      {number(raw6(behindOptions), 0), next},
		"destination options":     {number(raw6(behindOptions), 60), next},
		"routing header":          {number(raw6(text(24)), 43), next},
		"AH":                      {number(raw6(text(24)), 51), next},
		"mobility":                {number(raw6(text(24)), 135), next},
		"mapped addresses":        {mapped(t), next},
		"ARP":                     {slices.Concat(macB[:], macA[:], []byte{8, 6}, make([]byte, 46)), next},
	}
}

// mapped has the addresses of IPv4 in a header of IPv6.
func mapped(t *testing.T) []byte {
	f := straightFrame6(layers.IPProtocolUDP, 1)
	b := f.bytes(t)
	from, to := ipA.As16(), ipB.As16()
	copy(b[14+8:], from[:])
	copy(b[14+24:], to[:])
	return b
}

// What leaves by WireGuard without a VXLAN header, and what is left to the bridge, unchanged.
func TestStraightSent(t *testing.T) {
	m := newEncryptedMachine(t, here)
	for name, test := range straightFrames(t) {
		t.Run(name, func(t *testing.T) {
			m := m.with(t, nil)
			verdict, out := m.run(m.objects.FromEncrypted, test.frame, skBuff{})
			if verdict != test.want || !bytes.Equal(test.frame, out) {
				t.Errorf("verdict %d, %x", verdict, out)
			}
		})
	}
}

// Whatever is not known or not told leaves as VXLAN.
func TestStraightNeedsAll(t *testing.T) {
	at := func(a netip.Addr, o programsOwner) func(*machine) {
		return func(m *machine) { put(m, m.objects.Addresses, placeOf(loopback, a), o) }
	}
	b := programsOwner{Mac: macB, Vtep: toAddress(peer)}
	// The age is that at the moment of the test: a slow machine takes seconds for those before.
	aged := func(a netip.Addr, o programsOwner, age time.Duration) func(*machine) {
		return func(m *machine) {
			now, err := monotonicNow()
			if err != nil {
				m.Fatal(err)
			}
			o.Since = uint64(int64(now) - age.Nanoseconds())
			put(m, m.objects.Addresses, placeOf(loopback, a), o)
		}
	}
	elsewhere := programsOwner{Mac: macB, Vtep: toAddress(netip.MustParseAddr("198.18.0.66"))}
	for name, test := range map[string]struct {
		change func(*machine)
		want   uint32
	}{
		"all":                   {func(*machine) {}, redirect},
		"known for long enough": {aged(ipB, b, 5*time.Second), redirect},
		"a new container":       {aged(ipB, b, time.Second), next},
		// The clock that is compared with is as much as 10 ms behind.
		"one of this moment":    {aged(ipB, b, -time.Minute), next},
		"a new container here":  {aged(ipA, programsOwner{Mac: macA}, time.Second), next},
		"a container has moved": {at(ipB, elsewhere), next},
		"its MAC has": {func(m *machine) {
			put(m, m.objects.Remotes, station(macB), programsRemote{Vtep: elsewhere.Vtep})
		}, next},
		"its MAC is another":      {at(ipB, programsOwner{Mac: macA, Vtep: toAddress(peer)}), next},
		"the address is here":     {at(ipB, programsOwner{Mac: macB}), next},
		"the source is remote":    {at(ipA, programsOwner{Mac: macA, Vtep: toAddress(peer)}), next},
		"the source is another's": {at(ipA, programsOwner{Mac: kernel.MAC{2, 9}}), next},
		"the host takes none":     {func(m *machine) { remove(m, m.objects.Takers.Delete(placeOf(loopback, peer))) }, next},
		"no WireGuard device":     {func(m *machine) { remove(m, m.objects.Wireguard.Delete(uint32(loopback))) }, next},
		"the plugin has evicted":  {func(m *machine) { remove(m, m.objects.Remotes.Delete(station(macB))) }, next},
		"no agent":                {func(m *machine) { put(m, m.objects.ValidJiffies, uint32(0), uint64(1)) }, next},
		"not encrypted":           {func(m *machine) { m.network.Flags = 0; m.setPort() }, next},
	} {
		t.Run(name, func(t *testing.T) {
			m := newEncryptedMachine(t, here)
			test.change(m)
			if verdict, _ := m.run(m.objects.FromEncrypted, udpFrame(9).bytes(t), skBuff{}); verdict != test.want {
				t.Errorf("verdict %d", verdict)
			}
		})
	}
}

func remove(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// No program wraps a packet of an encrypted network, whatever the tables have: it would leave in plaintext.
func TestEncryptedIsNotWrapped(t *testing.T) {
	for name, underlay := range map[string]netip.Addr{"IPv4": here, "IPv6": here6} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, underlay)
			frame := udpFrame(9).bytes(t)
			for flags, want := range map[uint8]uint32{m.network.Flags: redirect, m.network.Flags | networkEncrypted: next} {
				m := m.with(t, func(n *programsNetwork) { n.Flags = flags })
				if verdict, _ := m.run(m.objects.FromContainer, frame, skBuff{}); verdict != want {
					t.Errorf("flags %d: verdict %d", flags, verdict)
				}
			}
		})
	}
}

// What a container sends is to be cut into segments, none of which may be longer than the network's MTU.
func TestStraightSegmentsFit(t *testing.T) {
	m := newEncryptedMachine(t, here)
	tcp := straightFrame(layers.IPProtocolTCP, 2900)
	fragment := straightFrame(layers.IPProtocolUDP, 2900)
	fragment.fragment = 1
	tests := map[string]struct {
		frame frame
		size  uint32
		want  uint32
	}{
		"fits":              {tcp, 1390 - 52, redirect},
		"too long":          {tcp, 1390 - 51, next},
		"UDP fits":          {straightFrame(layers.IPProtocolUDP, 2900), 1390 - 28, redirect},
		"UDP is too long":   {straightFrame(layers.IPProtocolUDP, 2900), 1390 - 27, next},
		"another protocol":  {straightFrame(132, 2900), 1000, next},
		"fragment with GSO": {fragment, 1000, next},
	}
	for name := range maps.Keys(tests) {
		t.Run(name, func(t *testing.T) {
			m, test := m.with(t, nil), tests[name]
			of := skBuff{GSOSize: test.size, GSOSegs: 4}
			if verdict, _ := m.run(m.objects.FromEncrypted, test.frame.bytes(t), of); verdict != test.want {
				t.Errorf("verdict %d", verdict)
			}
		})
	}
}
