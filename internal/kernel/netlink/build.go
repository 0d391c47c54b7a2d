package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// MaxPayload is the most bytes that an attribute can hold: its length is a 16-bit number that
// counts its header too.
const MaxPayload = 1<<16 - 1 - unix.SizeofRtAttr

// Builder builds messages.
type Builder struct{ b []byte }

// NewRequest begins a request.
func NewRequest(typ, flags uint16) *Builder {
	b := new(Builder)
	b.begin(typ, unix.NLM_F_REQUEST|flags)
	return b
}

// Data returns what was built.
func (b *Builder) Data() []byte { return b.b }

// Raw appends bytes as they are, such as a message's fixed part.
func (b *Builder) Raw(data ...byte) { b.b = append(b.b, data...) }

// Attrs appends attributes.
func (b *Builder) Attrs(attrs ...Attr) {
	for _, a := range attrs {
		b.b = append(b.b, a...)
	}
}

// Bytes appends an attribute with any payload. It is not inlined: with all that calls it, it would be
// in some hundred places, which is 40 kB of the plugin.
//
//go:noinline
func (b *Builder) Bytes(typ uint16, data []byte) {
	b.b = binary.NativeEndian.AppendUint16(b.b, uint16(unix.SizeofRtAttr+len(data)))
	b.b = binary.NativeEndian.AppendUint16(b.b, typ)
	b.b = append(b.b, data...)
	b.pad()
}

// Text appends text with a terminating zero.
func (b *Builder) Text(typ uint16, s string) { b.Bytes(typ, append([]byte(s), 0)) }

// Uint32BE appends a number in network byte order, as nfnetlink has its numbers.
func (b *Builder) Uint32BE(typ uint16, v uint32) { b.Bytes(typ, binary.BigEndian.AppendUint32(nil, v)) }

// Nest appends an attribute that holds what fill appends.
func (b *Builder) Nest(typ uint16, fill func()) {
	start := len(b.b)
	b.Raw(0, 0, 0, 0)
	fill()
	binary.NativeEndian.PutUint16(b.b[start:], uint16(len(b.b)-start))
	binary.NativeEndian.PutUint16(b.b[start+2:], typ|unix.NLA_F_NESTED)
	b.pad()
}

// begin appends a struct nlmsghdr, whose length end sets.
func (b *Builder) begin(typ, flags uint16) (start int) {
	start = len(b.b)
	b.b = binary.NativeEndian.AppendUint32(b.b, 0)
	b.b = binary.NativeEndian.AppendUint16(b.b, typ)
	b.b = binary.NativeEndian.AppendUint16(b.b, flags)
	b.b = binary.NativeEndian.AppendUint32(b.b, 0)
	b.b = binary.NativeEndian.AppendUint32(b.b, 0)
	return start
}

func (b *Builder) end(start int) {
	binary.NativeEndian.PutUint32(b.b[start:], uint32(len(b.b)-start))
}

// seqOffset is where a struct nlmsghdr has the sequence number.
const seqOffset = 8

// finishRequest completes what NewRequest began.
func (b *Builder) finishRequest(seq uint32) []byte {
	b.end(0)
	binary.NativeEndian.PutUint32(b.b[seqOffset:], seq)
	return b.b
}

func (b *Builder) pad() {
	for len(b.b)%4 != 0 {
		b.b = append(b.b, 0)
	}
}

// Batch is several messages that go to the kernel in one system call.
type Batch struct {
	Builder
	count int
}

// Message appends a message, which fill completes.
func (b *Batch) Message(typ, flags uint16, fill func()) {
	start := b.begin(typ, unix.NLM_F_REQUEST|flags)
	fill()
	b.end(start)
	b.count++
}

// finishBatch numbers the messages from first.
func (b *Batch) finishBatch(first uint32) []byte {
	rest := b.b
	for i := range uint32(b.count) {
		binary.NativeEndian.PutUint32(rest[seqOffset:], first+i)
		rest = rest[binary.NativeEndian.Uint32(rest):]
	}
	return b.b
}

// Len returns how many messages it has.
func (b *Batch) Len() int { return b.count }

// Reset empties the batch, and keeps its memory.
func (b *Batch) Reset() { b.b, b.count = b.b[:0], 0 }

// Attr is an attribute, encoded.
type Attr []byte

// BytesAttr is an attribute with any payload.
func BytesAttr(typ uint16, data []byte) Attr {
	b := Builder{make([]byte, 0, align(unix.SizeofRtAttr+len(data)))}
	b.Bytes(typ, data)
	return b.b
}

// Uint8Attr holds one byte.
func Uint8Attr(typ uint16, v uint8) Attr { return BytesAttr(typ, []byte{v}) }

// Uint16BEAttr holds a number in network byte order.
func Uint16BEAttr(typ, v uint16) Attr { return BytesAttr(typ, binary.BigEndian.AppendUint16(nil, v)) }

// Uint32Attr holds a number in the machine's byte order.
func Uint32Attr(typ uint16, v uint32) Attr {
	return BytesAttr(typ, binary.NativeEndian.AppendUint32(nil, v))
}

// TextAttr holds text with a terminating zero.
func TextAttr(typ uint16, s string) Attr { return BytesAttr(typ, append([]byte(s), 0)) }

// NestAttr holds other attributes. Newer parsers want the flag (NLA_F_NESTED), and older ones
// ignore it.
func NestAttr(typ uint16, children ...Attr) Attr {
	var b Builder
	b.Nest(typ, func() { b.Attrs(children...) })
	return b.b
}
