package survey

import (
	"encoding/binary"
	"slices"
	"testing"
)

// seal sets the checksum of an IP packet's upper layer.
func seal(b []byte) []byte {
	p, _ := parseIP(b)
	at := checksumAt[p.protocol]
	binary.BigEndian.PutUint16(p.payload[at:], 0)
	var sum uint32
	if p.protocol != protoICMP {
		sum = addWords(addWords(0, p.addresses), []byte{0, p.protocol, byte(len(p.payload) >> 8), byte(len(p.payload))})
	}
	sum = addWords(sum, p.payload)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(p.payload[at:], ^uint16(sum))
	return b
}

func ipv4Packet(protocol byte, payload []byte) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 198, 18, 0, 11, 198, 18, 0, 12}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+len(payload)))
	return append(b, payload...)
}

func ipv6Packet(protocol byte, payload []byte) []byte {
	b := append([]byte{0x60, 0, 0, 0, 0, byte(len(payload)), protocol, 64}, make([]byte, 32)...)
	b[23], b[39] = 1, 2
	return append(b, payload...)
}

// vxlanPayload is what a UDP packet to a VXLAN device has.
func vxlanPayload(kind uint16, inner []byte) []byte {
	b := append([]byte{0xc0, 0, 0x12, 0xb5, 0, 0, 0, 0}, 8, 0, 0, 0, 0, 0, 7, 0)
	b = append(b, make([]byte, 12)...)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = append(b, inner...)
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)))
	return b
}

func TestVerifySums(t *testing.T) {
	tcp := seal(ipv4Packet(protoTCP, append(make([]byte, 20), "odd"...)))
	udp6 := seal(ipv6Packet(protoUDP, []byte{0, 1, 0, 2, 0, 10, 0, 0, 'x', 'y'}))
	icmp := seal(ipv4Packet(protoICMP, []byte{8, 0, 0, 0, 1, 2, 3, 4}))
	arp := make([]byte, 28)
	spoil := func(b []byte, at int) []byte {
		b = slices.Clone(b)
		b[at] ^= 0x55
		return b
	}
	fragment := spoil(tcp, 22)
	fragment[6] = 0x20
	unchecked := ipv4Packet(protoUDP, vxlanPayload(etherIPv4, tcp)) // its checksum is 0
	for _, tt := range []struct {
		name   string
		packet []byte
		want   sums
	}{
		{"sound", seal(ipv4Packet(protoUDP, vxlanPayload(etherIPv4, tcp))), sums{}},
		{"without an outer one", unchecked, sums{}},
		{"ICMP", seal(ipv4Packet(protoUDP, vxlanPayload(etherIPv4, icmp))), sums{}},
		{"IPv6 in IPv6", seal(ipv6Packet(protoUDP, vxlanPayload(etherIPv6, udp6))), sums{}},
		{"no IP inside", seal(ipv4Packet(protoUDP, vxlanPayload(0x0806, arp))), sums{}},
		{"in a VLAN", seal(ipv4Packet(protoUDP, vxlanPayload(etherVLAN, append([]byte{0, 5, 8, 0}, spoil(tcp, 30)...)))), sums{innerBad: true}},
		{"the inner one", seal(ipv4Packet(protoUDP, vxlanPayload(etherIPv4, spoil(tcp, 41)))), sums{innerBad: true}},
		{"the inner one of IPv6", seal(ipv6Packet(protoUDP, vxlanPayload(etherIPv6, spoil(udp6, 49)))), sums{innerBad: true}},
		{"the outer one", spoil(seal(ipv4Packet(protoUDP, vxlanPayload(etherIPv4, tcp))), 27), sums{outerBad: true}},
		{"both", spoil(seal(ipv4Packet(protoUDP, vxlanPayload(etherIPv4, tcp))), 80), sums{outerBad: true, innerBad: true}},
		{"none over IPv6", ipv6Packet(protoUDP, vxlanPayload(etherIPv6, udp6)), sums{outerZero: true}},
		{"a fragment inside", seal(ipv4Packet(protoUDP, vxlanPayload(etherIPv4, fragment))), sums{}},
	} {
		if got := verifySums(tt.packet); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
		for i := range tt.packet {
			verifySums(tt.packet[:i]) // must not panic
		}
	}
}

func TestParseSumCounters(t *testing.T) {
	const snmp = "Tcp: RtoMin InSegs InCsumErrors\nTcp: 200 5 3\nUdp: InDatagrams InCsumErrors\nUdp: 9 0\n"
	const snmp6 = "Ip6InReceives \t5\nUdp6InCsumErrors     7\n"
	before := map[place]sumCounters{{name: "this host"}: {"TcpInCsumErrors": 1, "UdpInCsumErrors": 0, "Udp6InCsumErrors": 7}}
	after := map[place]sumCounters{{name: "this host"}: parseSumCounters(snmp, snmp6), {name: "container that is new"}: {"TcpInCsumErrors": 4}}
	got := grown(before, after)
	if len(got) != 1 || got[0].Counter != "TcpInCsumErrors" || got[0].Count != 2 {
		t.Errorf("got %+v", got)
	}
	if found := parseSumCounters("Tcp: InCsumErrors", ""); len(found) > 0 {
		t.Errorf("a line that is cut off: %v", found)
	}
}
