package nlmsg

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// MaxAttr is the most bytes of payload that an attribute can have: its length is
// a 16-bit number that counts its header too.
const MaxAttr = 1<<16 - 1 - unix.SizeofRtAttr

// Builder appends attributes to a message.
type Builder struct{ b []byte }

// Message returns what was built.
func (b *Builder) Message() []byte { return b.b }

// Reset forgets what was built, and keeps its memory for the next message.
func (b *Builder) Reset() { b.b = b.b[:0] }

// Raw appends bytes as they are, such as a message's fixed part.
func (b *Builder) Raw(data ...byte) { b.b = append(b.b, data...) }

// Bytes appends an attribute with any payload.
func (b *Builder) Bytes(typ uint16, data []byte) {
	b.b = binary.NativeEndian.AppendUint16(b.b, uint16(unix.SizeofRtAttr+len(data)))
	b.b = binary.NativeEndian.AppendUint16(b.b, typ)
	b.b = append(b.b, data...)
	b.pad()
}

// Text appends text with a terminating zero.
func (b *Builder) Text(typ uint16, s string) { b.Bytes(typ, append([]byte(s), 0)) }

// U32BE appends a number in network byte order, as nfnetlink has its numbers.
func (b *Builder) U32BE(typ uint16, v uint32) { b.Bytes(typ, binary.BigEndian.AppendUint32(nil, v)) }

// Nest appends an attribute that holds what fill appends.
func (b *Builder) Nest(typ uint16, fill func()) {
	start := len(b.b)
	b.Raw(0, 0, 0, 0)
	fill()
	binary.NativeEndian.PutUint16(b.b[start:], uint16(len(b.b)-start))
	binary.NativeEndian.PutUint16(b.b[start+2:], typ|unix.NLA_F_NESTED)
	b.pad()
}

// Header begins a message with a struct nlmsghdr, whose length End sets.
func (b *Builder) Header(typ uint16, flags uint16, seq uint32) (start int) {
	start = len(b.b)
	b.b = binary.NativeEndian.AppendUint32(b.b, 0)
	b.b = binary.NativeEndian.AppendUint16(b.b, typ)
	b.b = binary.NativeEndian.AppendUint16(b.b, flags)
	b.b = binary.NativeEndian.AppendUint32(b.b, seq)
	b.b = binary.NativeEndian.AppendUint32(b.b, 0)
	return start
}

// End ends the message that began at start.
func (b *Builder) End(start int) {
	binary.NativeEndian.PutUint32(b.b[start:], uint32(len(b.b)-start))
}

func (b *Builder) pad() {
	for len(b.b)%4 != 0 {
		b.b = append(b.b, 0)
	}
}
