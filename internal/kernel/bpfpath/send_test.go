package bpfpath

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"vxlan-driver/internal/kernel"
)

// frame is what a container sends.
type frame struct {
	source, destination kernel.MAC
	vlan                bool
	from, to            netip.Addr
	protocol            layers.IPProtocol
	tos, ttl            uint8
	df                  bool
	fragment            uint16
	payload             []byte
	noChecksum          bool // UDP's is 0
	padding             string
}

func udpFrame(payload int) frame {
	return frame{source: macA, destination: macB, from: ipA, to: ipB, protocol: layers.IPProtocolUDP, ttl: 63, payload: text(payload)}
}

// text is some payload.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + 1)
	}
	return b
}

// bytes returns the frame with right checksums.
func (f frame) bytes(t testing.TB) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr(f.source[:]), DstMAC: net.HardwareAddr(f.destination[:])}
	list := []gopacket.SerializableLayer{eth}
	var ip gopacket.NetworkLayer
	if f.from.Is4() {
		eth.EthernetType = layers.EthernetTypeIPv4
		l := &layers.IPv4{Version: 4, IHL: 5, TTL: f.ttl, TOS: f.tos, Protocol: f.protocol, SrcIP: f.from.AsSlice(), DstIP: f.to.AsSlice(), FragOffset: f.fragment}
		if f.df {
			l.Flags = layers.IPv4DontFragment
		}
		ip, list = l, append(list, l)
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		l := &layers.IPv6{Version: 6, HopLimit: f.ttl, TrafficClass: f.tos, NextHeader: f.protocol, SrcIP: f.from.AsSlice(), DstIP: f.to.AsSlice()}
		ip, list = l, append(list, l)
	}
	switch f.protocol {
	case layers.IPProtocolUDP:
		l := &layers.UDP{SrcPort: 4000, DstPort: 5000}
		if err := l.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	case layers.IPProtocolTCP:
		l := &layers.TCP{SrcPort: 4000, DstPort: 80, Seq: 7, Ack: 9, ACK: true, Window: 500}
		l.Options = []layers.TCPOption{{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindNop},
			{OptionType: layers.TCPOptionKindTimestamps, OptionLength: 10, OptionData: make([]byte, 8)}}
		if err := l.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	case layers.IPProtocolICMPv4:
		list = append(list, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 3, Seq: 4})
	case layers.IPProtocolICMPv6:
		l := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
		if err := l.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		list = append(list, l)
	}
	list = append(list, gopacket.Payload(f.payload))
	out := serialize(t, list...)
	// A virtual device does not fill up short frames.
	out = append(out[:14+ipLen(out[14:])], f.padding...)
	if f.noChecksum {
		copy(out[14+20+6:], []byte{0, 0})
	}
	if f.vlan {
		out = bytes.Join([][]byte{out[:12], {0x81, 0, 0, 5}, out[12:]}, nil)
	}
	return out
}

// ipLen returns the length that an IP header tells.
func ipLen(packet []byte) int {
	if packet[0]>>4 == 4 {
		return int(binary.BigEndian.Uint16(packet[2:]))
	}
	return 40 + int(binary.BigEndian.Uint16(packet[4:]))
}

func serialize(t testing.TB, list ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, list...); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

// TestSent compares what is sent with the packet that the headers should make, byte by byte but for
// what is random.
func TestSent(t *testing.T) {
	big := udpFrame(1450 - 28)
	tests := map[string]struct {
		frame   frame
		network func(*programsNetwork)
		want    func(*outer)
	}{
		"UDP":              {frame: udpFrame(1)},
		"empty UDP":        {frame: udpFrame(0)},
		"odd size":         {frame: udpFrame(333)},
		"padding":          {frame: frame{source: macA, destination: macB, from: ipA, to: ipB, protocol: layers.IPProtocolUDP, ttl: 64, payload: text(1), padding: "12345"}},
		"largest":          {frame: big},
		"TCP":              {frame: frame{source: macA, destination: macB, from: ipA, to: ipB, protocol: layers.IPProtocolTCP, ttl: 64, payload: text(77)}},
		"IPv6 UDP":         {frame: frame{source: macA, destination: macB, from: ip6A, to: ip6B, protocol: layers.IPProtocolUDP, ttl: 64, payload: text(5)}},
		"IPv6 TCP":         {frame: frame{source: macA, destination: macB, from: ip6A, to: ip6B, protocol: layers.IPProtocolTCP, ttl: 64, payload: text(6)}},
		"a fragment":       {frame: frame{source: macA, destination: macB, from: ipA, to: ipB, protocol: layers.IPProtocolUDP, ttl: 64, fragment: 100, payload: text(50)}},
		"another's MAC":    {frame: frame{source: kernel.MAC{2, 9}, destination: macB, from: ipA, to: ipB, protocol: layers.IPProtocolUDP, ttl: 64, payload: text(50)}},
		"ttl":              {frame: udpFrame(9), network: func(n *programsNetwork) { n.Ttl = 5 }, want: func(o *outer) { o.ttl = 5 }},
		"ttl inherited":    {frame: udpFrame(9), network: func(n *programsNetwork) { n.Ttl = 0 }, want: func(o *outer) { o.ttl = 63 }},
		"tos":              {frame: udpFrame(9), network: func(n *programsNetwork) { n.Tos = 0x48 }, want: func(o *outer) { o.tos = 0x48 }},
		"tos inherited":    {frame: withTOS(0x2a), network: func(n *programsNetwork) { n.Tos = 1 }, want: func(o *outer) { o.tos = 0x2a }},
		"ECT(1)":           {frame: withTOS(0x29), want: func(o *outer) { o.tos = 1 }},
		"CE":               {frame: withTOS(3), want: func(o *outer) { o.tos = 2 }},
		"df":               {frame: udpFrame(9), network: func(n *programsNetwork) { n.Df = 1 }, want: func(o *outer) { o.df = true }},
		"df inherited":     {frame: frame{source: macA, destination: macB, from: ipA, to: ipB, df: true, protocol: layers.IPProtocolUDP, ttl: 64}, network: func(n *programsNetwork) { n.Df = 2 }, want: func(o *outer) { o.df = true }},
		"no df to inherit": {frame: udpFrame(9), network: func(n *programsNetwork) { n.Df = 2 }},
		"checksum":         {frame: udpFrame(9), network: func(n *programsNetwork) { n.Flags = networkChecksum }, want: func(o *outer) { o.checksum = true }},
		"checksum of TCP":  {frame: frame{source: macA, destination: macB, from: ip6A, to: ip6B, protocol: layers.IPProtocolTCP, ttl: 64, payload: text(501)}, network: func(n *programsNetwork) { n.Flags = networkChecksum }, want: func(o *outer) { o.checksum = true }},
	}
	m := newMachine(t, here)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := m.with(t, test.network)
			want := outer{from: here, to: peer, vni: 100, port: 4789, ttl: 64}
			if test.want != nil {
				test.want(&want)
			}
			in := test.frame.bytes(t)
			verdict, out := m.run(m.objects.FromContainer, in, skBuff{})
			if verdict != redirect {
				t.Fatalf("verdict %d", verdict)
			}
			checkWrapped(t, want, in, out)
		})
	}
}

func withTOS(tos uint8) frame {
	f := udpFrame(9)
	f.tos = tos
	return f
}

// TestSentOverIPv6 has checksums, as the kernel demands them there.
func TestSentOverIPv6(t *testing.T) {
	m := newMachine(t, here6)
	for name, f := range map[string]frame{
		"UDP":      udpFrame(1),
		"odd size": udpFrame(99),
		"ECT":      withTOS(2),
		"TCP":      {source: macA, destination: macB, from: ipA, to: ipB, protocol: layers.IPProtocolTCP, ttl: 64, payload: text(77)},
		"IPv6 UDP": {source: macA, destination: macB, from: ip6A, to: ip6B, protocol: layers.IPProtocolUDP, ttl: 64, tos: 0x12, payload: text(5)},
		"IPv6 TCP": {source: macA, destination: macB, from: ip6A, to: ip6B, protocol: layers.IPProtocolTCP, ttl: 64, payload: text(6)},
	} {
		t.Run(name, func(t *testing.T) {
			in := f.bytes(t)
			verdict, out := m.run(m.objects.FromContainer, in, skBuff{})
			if verdict != redirect {
				t.Fatalf("verdict %d", verdict)
			}
			checkWrapped(t, outer{from: here6, to: peer6, vni: 100, port: 4789, ttl: 64, tos: f.tos & 3, checksum: true}, in, out)
		})
	}
}

// TestNotSent has packets that are left to the bridge, unchanged. TestSegmentsNotSent has those to be cut up.
func TestNotSent(t *testing.T) {
	to := func(mac kernel.MAC) frame { f := udpFrame(9); f.destination = mac; return f }
	vlan := udpFrame(9)
	vlan.vlan = true
	noChecksum := udpFrame(9)
	noChecksum.noChecksum = true
	tests := map[string]struct {
		frame   frame
		raw     []byte
		of      skBuff
		network func(*programsNetwork)
	}{
		"for nobody known":            {frame: to(kernel.MAC{2, 7})},
		"for a container here":        {frame: to(macA)},
		"broadcast":                   {frame: to(kernel.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})},
		"in a VLAN":                   {frame: vlan},
		"ICMP":                        {frame: frame{source: macA, destination: macB, from: ipA, to: ipB, protocol: layers.IPProtocolICMPv4, ttl: 64, payload: text(56)}},
		"GRE":                         {frame: frame{source: macA, destination: macB, from: ipA, to: ipB, protocol: 47, ttl: 64, payload: text(56)}},
		"ICMPv6":                      {frame: frame{source: macA, destination: macB, from: ip6A, to: ip6B, protocol: layers.IPProtocolICMPv6, ttl: 64, payload: text(8)}},
		"IPv6 with an option":         {frame: frame{source: macA, destination: macB, from: ip6A, to: ip6B, protocol: 0, ttl: 64, payload: text(8)}},
		"one byte too long":           {frame: udpFrame(1450 - 28 + 1)},
		"ARP":                         {raw: append(append(append([]byte{}, macB[:]...), macA[:]...), append([]byte{8, 6}, make([]byte, 46)...)...)},
		"no IP header":                {raw: append(append(append([]byte{}, macB[:]...), macA[:]...), append([]byte{8, 0}, make([]byte, 46)...)...)},
		"checksum without one inside": {frame: noChecksum, network: func(n *programsNetwork) { n.Flags = networkChecksum }},
		"checksum of a fragment": {frame: frame{source: macA, destination: macB, from: ipA, to: ipB, protocol: layers.IPProtocolUDP, fragment: 9, ttl: 64, payload: text(9)},
			network: func(n *programsNetwork) { n.Flags = networkChecksum }},
		"checksum of padding": {frame: frame{source: macA, destination: macB, from: ipA, to: ipB,
			protocol: layers.IPProtocolUDP, ttl: 64, payload: text(1), padding: "12345"},
			network: func(n *programsNetwork) { n.Flags = networkChecksum }},
	}
	m := newMachine(t, here)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := m.with(t, test.network)
			in := test.raw
			if in == nil {
				in = test.frame.bytes(t)
			}
			if verdict, out := m.run(m.objects.FromContainer, in, test.of); verdict != next || !bytes.Equal(in, out) {
				t.Errorf("verdict %d, %x", verdict, out)
			}
		})
	}
}

// TestPortSecurity lets a container send with its MAC and addresses only.
func TestPortSecurity(t *testing.T) {
	tests := map[string]struct {
		frame frame
		want  uint32
	}{
		"own":               {udpFrame(1), redirect},
		"own IPv6":          {frame{source: macA, destination: macB, from: ip6A, to: ip6B, protocol: layers.IPProtocolUDP}, redirect},
		"another's address": {frame{source: macA, destination: macB, from: ipB, to: ipB, protocol: layers.IPProtocolUDP}, next},
		"another's IPv6":    {frame{source: macA, destination: macB, from: ip6B, to: ip6B, protocol: layers.IPProtocolUDP}, next},
		"another's MAC":     {frame{source: macB, destination: macB, from: ipA, to: ipB, protocol: layers.IPProtocolUDP}, next},
	}
	m := newMachine(t, here)
	m.network.Flags = networkPortSecurity
	m.setPort()
	put(t, m.objects.Sources, programsSource{Address: toAddress(ipA), Port: loopback}, uint32(0))
	put(t, m.objects.Sources, programsSource{Address: toAddress(ip6A), Port: loopback}, uint32(0))
	put(t, m.objects.Sources, programsSource{Address: toAddress(ipB), Port: loopback + 1}, uint32(0))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got, _ := m.run(m.objects.FromContainer, test.frame.bytes(t), skBuff{}); got != test.want {
				t.Errorf("verdict %d", got)
			}
		})
	}
}

// outer is what the outer headers should say.
type outer struct {
	from, to netip.Addr
	vni      uint32
	port     uint16
	tos, ttl uint8
	df       bool
	checksum bool
	// received tells that the packet has the addresses of the underlay interface.
	received bool
}

// wrap returns the packet that carries a frame. The identification and the source port are what they
// are.
func (o outer) wrap(t testing.TB, in []byte, id, source uint16) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr(in[6:12]), DstMAC: net.HardwareAddr(in[:6])}
	if o.received {
		eth.DstMAC = make(net.HardwareAddr, 6) // the loopback device's
	}
	udp := &layers.UDP{SrcPort: layers.UDPPort(source), DstPort: layers.UDPPort(o.port)}
	var ip gopacket.SerializableLayer
	var network gopacket.NetworkLayer
	if o.from.Is4() {
		eth.EthernetType = layers.EthernetTypeIPv4
		l := &layers.IPv4{Version: 4, IHL: 5, TTL: o.ttl, TOS: o.tos, Id: id, Protocol: layers.IPProtocolUDP, SrcIP: o.from.AsSlice(), DstIP: o.to.AsSlice()}
		if o.df {
			l.Flags = layers.IPv4DontFragment
		}
		ip, network = l, l
	} else {
		eth.EthernetType = layers.EthernetTypeIPv6
		l := &layers.IPv6{Version: 6, HopLimit: o.ttl, TrafficClass: o.tos, NextHeader: layers.IPProtocolUDP, SrcIP: o.from.AsSlice(), DstIP: o.to.AsSlice()}
		ip, network = l, l
	}
	if err := udp.SetNetworkLayerForChecksum(network); err != nil {
		t.Fatal(err)
	}
	vxlan := &layers.VXLAN{ValidIDFlag: true, VNI: o.vni}
	out := serialize(t, eth, ip, udp, vxlan, gopacket.Payload(in))
	if !o.checksum {
		at := len(out) - len(in) - 8 - 2
		copy(out[at:], []byte{0, 0})
	}
	return out
}

func checkWrapped(t *testing.T, want outer, in, out []byte) {
	t.Helper()
	packet := gopacket.NewPacket(out, layers.LayerTypeEthernet, gopacket.Default)
	udp, ok := packet.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok {
		t.Fatalf("no UDP: %x", out)
	}
	if udp.SrcPort < 49152 {
		t.Errorf("source port %d", udp.SrcPort)
	}
	var id uint16
	if ip, ok := packet.Layer(layers.LayerTypeIPv4).(*layers.IPv4); ok {
		id = ip.Id
	}
	if want.df && id != 0 {
		t.Errorf("identification %d", id)
	}
	if whole := want.wrap(t, in, id, uint16(udp.SrcPort)); !bytes.Equal(out, whole) {
		t.Errorf("got  %x\nwant %x", out, whole)
	}
}
