package survey

import "encoding/binary"

// sums says what a VXLAN packet's checksums are like.
type sums struct {
	outerBad  bool
	outerZero bool // over IPv6, where a receiver drops that unless it was told otherwise (RFC 6935)
	innerBad  bool
}

const (
	ethernetLen  = 14
	vlanLen      = 4
	vxlanLen     = 8
	udpLen       = 8
	etherIPv4    = 0x0800
	etherIPv6    = 0x86dd
	etherVLAN    = 0x8100
	protoICMP    = 1
	protoTCP     = 6
	protoUDP     = 17
	protoICMPv6  = 58
	minIPv4      = 20
	fixedIPv6    = 40
	fragmentMask = 0x3fff // more fragments, and the offset
)

// ipPacket is an IP packet whose upper layer is whole.
type ipPacket struct {
	isIPv6    bool
	protocol  byte
	addresses []byte // both
	payload   []byte
}

// parseIP reads a packet. A fragment, one that was cut off and one with extension headers have no
// checksum that can be verified.
func parseIP(b []byte) (p ipPacket, ok bool) {
	if len(b) == 0 {
		return p, false
	}
	switch version := b[0] >> 4; {
	case version == 4 && len(b) >= minIPv4:
		header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		isFragment := binary.BigEndian.Uint16(b[6:])&fragmentMask != 0
		if header < minIPv4 || total < header || total > len(b) || isFragment {
			return p, false
		}
		return ipPacket{false, b[9], b[12:20], b[header:total]}, true
	case version == 6 && len(b) >= fixedIPv6:
		length := int(binary.BigEndian.Uint16(b[4:]))
		if fixedIPv6+length > len(b) {
			return p, false
		}
		return ipPacket{true, b[6], b[8:40], b[fixedIPv6 : fixedIPv6+length]}, true
	}
	return p, false
}

// checksumAt is where the upper layer's checksum is, by protocol.
var checksumAt = map[byte]int{protoICMP: 2, protoTCP: 16, protoUDP: 6, protoICMPv6: 2}

// isSound verifies the checksum of the upper layer (RFC 1071). One that there is not is sound.
func (p ipPacket) isSound() bool {
	at, known := checksumAt[p.protocol]
	if !known || len(p.payload) < at+2 || p.isUnchecked() {
		return true
	}
	var sum uint32
	if p.protocol != protoICMP { // the others include a pseudo header
		sum = addWords(addWords(0, p.addresses), []byte{0, p.protocol, byte(len(p.payload) >> 8), byte(len(p.payload))})
	}
	sum = addWords(sum, p.payload)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum == 0xffff
}

// isUnchecked tells whether a UDP packet has no checksum.
func (p ipPacket) isUnchecked() bool {
	return p.protocol == protoUDP && len(p.payload) >= udpLen && p.payload[6] == 0 && p.payload[7] == 0
}

func addWords(sum uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// verifySums verifies the checksums of a VXLAN packet and of the packet in it.
func verifySums(b []byte) (s sums) {
	outer, ok := parseIP(b)
	if !ok || outer.protocol != protoUDP || len(outer.payload) < udpLen+vxlanLen+ethernetLen {
		return s
	}
	s.outerBad = !outer.isSound()
	s.outerZero = outer.isIPv6 && outer.isUnchecked()
	frame := outer.payload[udpLen+vxlanLen:]
	kind, at := binary.BigEndian.Uint16(frame[12:]), ethernetLen
	if kind == etherVLAN && len(frame) >= ethernetLen+vlanLen {
		kind, at = binary.BigEndian.Uint16(frame[16:]), ethernetLen+vlanLen
	}
	if kind != etherIPv4 && kind != etherIPv6 {
		return s
	}
	if inner, ok := parseIP(frame[at:]); ok {
		s.innerBad = !inner.isSound()
	}
	return s
}
