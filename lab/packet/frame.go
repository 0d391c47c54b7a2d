package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// MAC is an Ethernet address.
type MAC [6]byte

// Broadcast is the broadcast address.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// String prints it as ip does.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// The EtherTypes that tests look for.
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeIPv6 = 0x86dd
	TypeVLAN = 0x8100
)

func bigEndian16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// Ethernet is a frame.
func Ethernet(dst, src MAC, etherType uint16, payload []byte) []byte {
	return slices.Concat(dst[:], src[:], bigEndian16(etherType), payload)
}

// Tagged puts priority tags (VLAN 0, IEEE 802.1Q) into a frame.
func Tagged(frame []byte, tags int) []byte {
	for range tags {
		frame = slices.Concat(frame[:12], bigEndian16(TypeVLAN), bigEndian16(0), frame[12:])
	}
	return frame
}

// ARP operations (RFC 826).
const (
	ARPRequest = 1
	ARPReply   = 2
)

// ARP says "senderIP is at senderMAC" to target.
func ARP(op uint16, senderMAC MAC, senderIP netip.Addr, targetMAC MAC, targetIP netip.Addr) []byte {
	return slices.Concat(bigEndian16(1), bigEndian16(TypeIPv4), []byte{6, 4}, bigEndian16(op),
		senderMAC[:], senderIP.AsSlice(), targetMAC[:], targetIP.AsSlice())
}

// IP is a packet of protocol; IPv4 or IPv6 as the addresses are. payload has room for a checksum at
// sumAt, which is filled in; -1 if it has none.
func IP(src, dst netip.Addr, protocol byte, payload []byte, sumAt int) []byte {
	payload = slices.Clone(payload)
	if sumAt >= 0 {
		pseudo := slices.Concat(src.AsSlice(), dst.AsSlice(), bigEndian16(0), bigEndian16(uint16(len(payload))),
			bigEndian16(uint16(protocol)))
		binary.BigEndian.PutUint16(payload[sumAt:], checksum(slices.Concat(pseudo, payload)))
	}
	if src.Is6() {
		// The hop limit that neighbour discovery demands (RFC 4861, section 7.1).
		return slices.Concat([]byte{0x60, 0, 0, 0}, bigEndian16(uint16(len(payload))), []byte{protocol, 255},
			src.AsSlice(), dst.AsSlice(), payload)
	}
	return slices.Concat(ipv4Header(src, dst, protocol, 0x4242, 0, len(payload)), payload)
}

func ipv4Header(src, dst netip.Addr, protocol byte, id, fragment uint16, size int) []byte {
	h := slices.Concat([]byte{0x45, 0}, bigEndian16(uint16(20+size)), bigEndian16(id), bigEndian16(fragment),
		[]byte{64, protocol, 0, 0}, src.AsSlice(), dst.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return h
}

// Fragments cuts an IPv4 packet in two, the first with so many bytes of the payload, a multiple of
// 8.
func Fragments(p []byte, first int) [][]byte {
	src, dst := netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	payload, protocol := p[20:], p[9]
	const moreFragments = 0x2000
	return [][]byte{
		append(ipv4Header(src, dst, protocol, 0x4343, moreFragments, first), payload[:first]...),
		append(ipv4Header(src, dst, protocol, 0x4343, uint16(first/8), len(payload)-first), payload[first:]...),
	}
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// UDP is a packet.
func UDP(src, dst netip.AddrPort, payload []byte) []byte {
	datagram := slices.Concat(bigEndian16(src.Port()), bigEndian16(dst.Port()), bigEndian16(uint16(8+len(payload))),
		bigEndian16(0), payload)
	return IP(src.Addr(), dst.Addr(), 17, datagram, 6)
}

// VXLAN wraps a frame, as the payload of a datagram (RFC 7348, section 5).
func VXLAN(vni uint32, frame []byte) []byte {
	return slices.Concat([]byte{0x08, 0, 0, 0}, binary.BigEndian.AppendUint32(nil, vni<<8), frame)
}

// Advertisement is an unsolicited neighbour advertisement of target with the override flag (RFC
// 4861, section 4.4).
func Advertisement(src, dst, target netip.Addr, mac MAC) []byte {
	const override = 0x20
	body := slices.Concat([]byte{136, 0, 0, 0, override, 0, 0, 0}, target.AsSlice(), []byte{2, 1}, mac[:])
	return IP(src, dst, 58, body, 2)
}

// Inner unwraps a VXLAN frame seen on an IPv4 underlay; ok is false for any other.
func Inner(frame []byte) (inner []byte, ok bool) {
	const outer = 14 + 20 + 8 + 8
	if len(frame) < outer+14 || EtherType(frame) != TypeIPv4 || frame[14] != 0x45 || frame[23] != 17 ||
		binary.BigEndian.Uint16(frame[36:]) != 4789 {
		return nil, false
	}
	return frame[outer:], true
}

// EtherType returns a frame's EtherType.
func EtherType(frame []byte) uint16 { return binary.BigEndian.Uint16(frame[12:]) }
