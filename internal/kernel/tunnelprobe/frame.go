package tunnelprobe

import (
	"encoding/binary"

	"vxlan-driver/internal/kernel"
)

const (
	// etherType is for local experiments (IEEE 802, local experimental EtherType 1). The magic
	// number tells our frames from those of others.
	etherType = 0x88b5
	magic     = "vxlprobe"

	etherLen  = 14
	headerLen = len(magic) + 1 + 1 + 2 + 8 + 4 // version, kind, size, nonce, arrived
	version   = 1

	kindRequest = 1
	kindReply   = 2
)

// MinSize is the smallest probe, in bytes as an MTU counts them: Ethernet's least payload.
const MinSize = 46

// message is what a frame says.
type message struct {
	kind  byte
	size  int    // of the request, in bytes as an MTU counts them
	nonce uint64 // that nobody can guess who does not see the request
	// arrived is how many requests of the receiver have arrived so far, this one included. Only a
	// reply says it, and one of an early version has 0.
	arrived uint32
}

// encode returns a frame of the message. A request has the size that it tells, and a reply the
// least one, so that nobody gets more back than he sent.
func (m message) encode(dst, src kernel.MAC) []byte {
	size := MinSize
	if m.kind == kindRequest {
		size = max(size, m.size)
	}
	b := make([]byte, 0, etherLen+size)
	b = append(append(b, dst[:]...), src[:]...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	b = append(b, magic...)
	b = append(b, version, m.kind)
	b = binary.BigEndian.AppendUint16(b, uint16(m.size))
	b = binary.BigEndian.AppendUint64(b, m.nonce)
	b = binary.BigEndian.AppendUint32(b, m.arrived)
	return b[:etherLen+size]
}

// parse reads a frame, and who sent it.
func parse(b []byte) (m message, src kernel.MAC, ok bool) {
	if len(b) < etherLen+headerLen || binary.BigEndian.Uint16(b[12:]) != etherType {
		return m, src, false
	}
	body := b[etherLen:]
	if string(body[:len(magic)]) != magic || body[len(magic)] != version {
		return m, src, false
	}
	rest := body[len(magic)+1:]
	m = message{
		kind: rest[0], size: int(binary.BigEndian.Uint16(rest[1:])),
		nonce: binary.BigEndian.Uint64(rest[3:]), arrived: binary.BigEndian.Uint32(rest[11:]),
	}
	whole := m.kind == kindReply || m.kind == kindRequest && len(body) >= m.size
	return m, kernel.MAC(b[6:12]), whole && m.size >= MinSize
}
