package capture

import "encoding/binary"

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
