package addrprobe

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

const (
	etherLen = 14
	ip6Len   = 40
	arpLen   = 28

	arpRequest = 1
	solicit    = 135 // ICMPv6 types (RFC 4861, section 4)
	advertise  = 136
	ndLen      = 24 // without options
)

var broadcast = kernel.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func etherHeader(dst, src kernel.MAC, typ uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst[:], src[:]...), typ)
}

// probeFrames returns the frames that ask for an address. The first has no sender's address, so
// nobody's cache learns from it. If the sender has an address, a second frame has it.
func probeFrames(from kernel.ProbeSender, target netip.Addr) [][]byte {
	frame, none := arpRequestFrame, netip.IPv4Unspecified()
	if target.Is6() {
		frame, none = solicitationFrame, netip.IPv6Unspecified()
	}
	all := [][]byte{frame(from.MAC, none, target)}
	for _, a := range from.Addrs {
		if a.Is4() == target.Is4() && a != target {
			return append(all, frame(from.MAC, a, target))
		}
	}
	return all
}

func arpRequestFrame(mac kernel.MAC, sender, target netip.Addr) []byte {
	b := etherHeader(broadcast, mac, unix.ETH_P_ARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, arpRequest) // Ethernet, IPv4 (RFC 826)
	b = append(b, mac[:]...)
	b = append(b, sender.AsSlice()...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, target.AsSlice()...)
}

// sourceLinkLayer is the option with the sender's MAC, 8 bytes (RFC 4861, section 4.6.1).
const sourceLinkLayer = 1

// solicitationFrame goes to the target's solicited-node group (RFC 4291, section 2.7.1). Who has an
// address says its MAC too; who has none must not (RFC 4861, section 4.3).
func solicitationFrame(mac kernel.MAC, sender, target netip.Addr) []byte {
	t := target.As16()
	group := netip.AddrFrom16([16]byte{0xff, 0x02, 11: 1, 12: 0xff, t[13], t[14], t[15]})
	g := group.As16()
	nd := append([]byte{solicit, 0, 0, 0, 0, 0, 0, 0}, t[:]...)
	if !sender.IsUnspecified() {
		nd = append(append(nd, sourceLinkLayer, 1), mac[:]...)
	}
	from := sender.As16()
	binary.BigEndian.PutUint16(nd[2:], icmp6Checksum(from, g, nd))

	b := etherHeader(kernel.MAC{0x33, 0x33, g[12], g[13], g[14], g[15]}, mac, unix.ETH_P_IPV6)
	b = append(b, 0x60, 0, 0, 0, 0, byte(len(nd)), unix.IPPROTO_ICMPV6, 255)
	b = append(append(b, from[:]...), g[:]...)
	return append(b, nd...)
}

// icmp6Checksum is ICMPv6's, with the pseudo-header (RFC 8200, section 8.1).
func icmp6Checksum(src, dst [16]byte, body []byte) uint16 {
	pseudo := append(src[:], dst[:]...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(body)))
	pseudo = append(pseudo, 0, 0, 0, unix.IPPROTO_ICMPV6)
	pseudo = append(pseudo, body...)
	var sum uint32
	for i := 0; i+1 < len(pseudo); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(pseudo[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// parseAnswer reads from a frame who has an address, or is about to use it. In ARP that is the
// sender of a message, or of a probe for the address (RFC 5227, section 2.1.1). In IPv6 it is
// whoever advertises the address, or looks for its duplicate at the same time (RFC 4862, section
// 5.4.3).
func parseAnswer(b []byte) (h kernel.ProbeAnswer, ok bool) {
	if len(b) < etherLen {
		return h, false
	}
	h.MAC = kernel.MAC(b[6:12])
	body := b[etherLen:]
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_ARP:
		if len(body) < arpLen {
			return h, false
		}
		h.MAC = kernel.MAC(body[8:14])
		h.Addr = netip.AddrFrom4([4]byte(body[14:18]))
		if h.Addr.IsUnspecified() { // a probe: another host is about to use it
			h.Addr = netip.AddrFrom4([4]byte(body[24:28]))
		}
		return h, !h.Addr.IsUnspecified()
	case unix.ETH_P_IPV6:
		if len(body) < ip6Len+ndLen || body[6] != unix.IPPROTO_ICMPV6 || body[7] != 255 {
			return h, false
		}
		unspecified := netip.AddrFrom16([16]byte(body[8:24])).IsUnspecified()
		if body[ip6Len] != advertise && !(body[ip6Len] == solicit && unspecified) {
			return h, false
		}
		h.Addr = netip.AddrFrom16([16]byte(body[ip6Len+8 : ip6Len+24]))
		return h, true
	}
	return h, false
}
