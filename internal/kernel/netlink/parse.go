package netlink

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// Message is one that the kernel sent.
type Message struct {
	Type, Flags uint16
	Seq         uint32
	Port        uint32 // of the socket by which the change was asked for; 0: not told
	Body        []byte // what follows struct nlmsghdr
}

// Messages iterates over the messages in b. What a broken length makes unreadable is left out.
func Messages(b []byte) iter.Seq[Message] {
	return func(yield func(Message) bool) {
		for len(b) >= unix.SizeofNlMsghdr {
			n := int(binary.NativeEndian.Uint32(b))
			if n < unix.SizeofNlMsghdr || n > len(b) {
				return
			}
			m := Message{
				Type:  binary.NativeEndian.Uint16(b[4:]),
				Flags: binary.NativeEndian.Uint16(b[6:]),
				Seq:   binary.NativeEndian.Uint32(b[8:]),
				Port:  binary.NativeEndian.Uint32(b[12:]),
				Body:  b[unix.SizeofNlMsghdr:n],
			}
			if !yield(m) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// align rounds a length up to where the next message or attribute begins.
func align(n int) int { return (n + 3) &^ 3 }

// typeMask takes the flags off an attribute's type (NLA_TYPE_MASK in linux/netlink.h).
const typeMask = 1<<14 - 1

// NDAProtocol is NDA_PROTOCOL (linux/neighbour.h, since Linux 5.1), which package unix lacks.
const NDAProtocol = 12

// Attrs iterates over the attributes in b. What a broken length makes unreadable is left out.
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
			b = b[min(align(n), len(b)):]
		}
	}
}

// Find returns the payload of the attribute that a path of types leads to, each within the one
// before it; nil if there is none.
func Find(b []byte, path ...uint16) []byte {
	for _, typ := range path {
		b = findFirst(b, typ)
	}
	return b
}

func findFirst(b []byte, typ uint16) []byte {
	for t, payload := range Attrs(b) {
		if t == typ {
			return payload
		}
	}
	return nil
}

// The readers of a value give zero for one that is too short.

// Uint8 reads one byte.
func Uint8(b []byte) uint8 {
	if len(b) < 1 {
		return 0
	}
	return b[0]
}

// Uint16 reads two bytes in the machine's byte order.
func Uint16(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.NativeEndian.Uint16(b)
}

// Uint16BE reads two bytes in network byte order.
func Uint16BE(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// Uint32BE reads four bytes in network byte order, as nfnetlink has its numbers.
func Uint32BE(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

// Uint32 reads four bytes in the machine's byte order.
func Uint32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

// Text reads text up to a zero byte.
func Text(b []byte) string { return unix.ByteSliceToString(b) }
