package nlmsg

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// typeMask takes the flags off an attribute's type (NLA_TYPE_MASK in linux/netlink.h).
const typeMask = 1<<14 - 1

// NDAProtocol is NDA_PROTOCOL (linux/neighbour.h), which package unix lacks.
const NDAProtocol = 12

// Attrs iterates over the attributes in b. What a broken length makes unreadable
// is left out.
func Attrs(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			typ := binary.NativeEndian.Uint16(b[2:]) & typeMask
			if !yield(typ, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// Find returns the payload of the first attribute of that type among those in b, nil if there is none.
func Find(b []byte, typ uint16) []byte {
	for t, payload := range Attrs(b) {
		if t == typ {
			return payload
		}
	}
	return nil
}

// The readers of a value give zero for one that is too short.

// U8 reads one byte.
func U8(b []byte) uint8 {
	if len(b) < 1 {
		return 0
	}
	return b[0]
}

// U16BE reads two bytes in network byte order.
func U16BE(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// U32 reads four bytes in the machine's byte order.
func U32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// U32BE reads four bytes in network byte order.
func U32BE(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// Text reads text up to a zero byte.
func Text(b []byte) string { return unix.ByteSliceToString(b) }
