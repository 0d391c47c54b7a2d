package capture

import (
	"encoding/binary"
	"net/netip"
)

const (
	ethernetHeader = 14
	vlanTag        = 4
	udpHeader      = 8
	vxlanHeader    = 8 // RFC 7348, section 5
	ipv6Header     = 40

	typeIPv4 = 0x0800
	typeIPv6 = 0x86dd
	typeVLAN = 0x8100
)

// innerFrame returns the frame in a VXLAN packet, or nothing if the packet is cut or is a fragment.
func innerFrame(data []byte) []byte {
	if len(data) < ethernetHeader {
		return nil
	}
	kind, rest := binary.BigEndian.Uint16(data[12:]), data[ethernetHeader:]
	if kind == typeVLAN && len(rest) >= vlanTag {
		kind, rest = binary.BigEndian.Uint16(rest[2:]), rest[vlanTag:]
	}
	header := 0
	switch {
	case kind == typeIPv4 && len(rest) > 0:
		header = int(rest[0]&0x0f) * 4
	case kind == typeIPv6:
		header = ipv6Header
	default:
		return nil
	}
	header += udpHeader + vxlanHeader
	if len(rest) < header {
		return nil
	}
	return rest[header:]
}

// withEthernet puts an Ethernet header without addresses before an IP packet.
func withEthernet(data []byte) []byte {
	kind := uint16(typeIPv4)
	if len(data) > 0 && data[0]>>4 == 6 {
		kind = typeIPv6
	}
	frame := make([]byte, ethernetHeader, ethernetHeader+len(data))
	binary.BigEndian.PutUint16(frame[12:], kind)
	return append(frame, data...)
}

// isVXLAN tells whether a packet without VLAN tags is one of a VTEP to or from a UDP port.
func isVXLAN(frame []byte, local netip.Addr, port uint16) bool {
	const udp, ipv4Header = 17, 20
	if len(frame) < ethernetHeader+ipv4Header {
		return false
	}
	packet := frame[ethernetHeader:]
	protocol, header, addrs, size := packet[9], int(packet[0]&0x0f)*4, packet[12:], 4
	if binary.BigEndian.Uint16(frame[12:]) == typeIPv6 {
		if len(packet) < ipv6Header {
			return false
		}
		protocol, header, addrs, size = packet[6], ipv6Header, packet[8:], 16
	}
	if protocol != udp || len(packet) < header+udpHeader || len(addrs) < 2*size {
		return false
	}
	src, _ := netip.AddrFromSlice(addrs[:size])
	dst, _ := netip.AddrFromSlice(addrs[size : 2*size])
	return (src == local || dst == local) && binary.BigEndian.Uint16(packet[header+2:]) == port
}
