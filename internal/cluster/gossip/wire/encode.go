package wire

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"time"

	"vxlan-driver/internal/kernel"
)

// Encode returns the message as it is sent. A kind that this version does not know has a header
// only.
func (m Message) Encode() []byte {
	w := writer{buf: []byte{cmp.Or(m.Format, Supported.Min), byte(m.Kind)}}
	w.putKey(m.From)
	switch m.Kind {
	case KindDigests:
		w.putBool(m.Complete)
		putList(&w, m.Digests, w.putDigest)
	case KindRequest:
		putList(&w, m.Hosts, w.putKey)
	case KindRecords:
		putList(&w, m.Records, w.putRecord)
	case KindDelta:
		w.putDelta(m.Delta)
	case KindSummary:
		w.putUint(m.Hash)
	case KindAckRequest, KindAck, KindClaim:
		w.putVersion(m.Version)
	case KindClaimAnswer:
		w.putVersion(m.Version)
		putList(&w, m.Digests, w.putDigest)
		w.putOwnAnswer(m.OwnAnswer)
	case KindQuestion:
		w.putUint(m.Number)
		w.putBytes(m.Data)
	case KindAnswer:
		w.putUint(m.Number)
		w.putString(m.Refusal)
		w.putBytes(m.Data)
	}
	return w.buf
}

// writer appends values to a buffer.
type writer struct{ buf []byte }

func (w *writer) putDigest(d Digest) {
	w.putKey(d.Key)
	w.putVersion(d.Version)
	w.putAge(d.Age)
}

func (w *writer) putRecord(r AgedRecord) {
	w.putKey(r.Key)
	w.putVersion(r.Version)
	w.putAge(r.Age)
	w.putBytes(r.Raw)
}

func (w *writer) putDelta(d Delta) {
	w.putVersion(d.Base)
	w.putVersion(d.Version)
	putList(w, d.Edits, func(e Edit) {
		w.putUint(uint64(e.Keep))
		w.putUint(uint64(e.Drop))
		w.putBytes(e.Insert)
	})
}

func (w *writer) putVersion(v Version) {
	w.putUint(v.Incarnation)
	w.putUint(v.Sequence)
	w.putRaw(v.Checksum[:])
}

// putAge writes seconds, rounded up: 0 means that the owner is reachable.
func (w *writer) putAge(a Age) {
	w.putUint((uint64(a) + uint64(time.Second) - 1) / uint64(time.Second))
}

func (w *writer) putRaw(b []byte)     { w.buf = append(w.buf, b...) }
func (w *writer) putUint(v uint64)    { w.buf = binary.AppendUvarint(w.buf, v) }
func (w *writer) putMAC(m kernel.MAC) { w.putRaw(m[:]) }

func (w *writer) putBytes(b []byte) {
	w.putUint(uint64(len(b)))
	w.putRaw(b)
}

// putField writes an optional field, which a reader that does not know its tag skips.
func (w *writer) putField(tag uint64, put func(*writer)) {
	var body writer
	put(&body)
	w.putUint(tag)
	w.putBytes(body.buf)
}

func (w *writer) putString(s string) {
	w.putUint(uint64(len(s)))
	w.buf = append(w.buf, s...)
}

func (w *writer) putBool(v bool) {
	var b byte
	if v {
		b = 1
	}
	w.buf = append(w.buf, b)
}

func (w *writer) putAddr(a netip.Addr) {
	w.buf = append(w.buf, byte(a.BitLen()/8))
	w.buf, _ = a.WithZone("").AppendBinary(w.buf) // never fails
}

func putList[T any](w *writer, list []T, put func(T)) {
	w.putUint(uint64(len(list)))
	for _, v := range list {
		put(v)
	}
}
