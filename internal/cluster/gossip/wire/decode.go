package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"vxlan-driver/internal/kernel"
)

// Decode reads a message of one of the accepted formats and checks all of it: what it returns is
// valid. Of a kind that is unknown it returns the header. Optional fields that are unknown, at the
// end of a message, are skipped.
func Decode(data []byte, accepted Range) (Message, error) {
	if len(data) < 2 || len(data) > MaxMessage {
		return Message{}, fmt.Errorf("%w: has %d bytes", ErrMalformed, len(data))
	}
	if !accepted.Contains(data[0]) {
		return Message{}, fmt.Errorf("%w: %d instead of %v", ErrVersion, data[0], accepted)
	}
	r := reader{buf: data[2:]}
	m := Message{Format: data[0], Kind: Kind(data[1]), From: r.readKey()}
	switch m.Kind {
	case KindDigests:
		m.Complete = r.readBool()
		m.Digests = readList(&r, MaxHosts, r.readDigest)
	case KindRequest:
		m.Hosts = readList(&r, MaxHosts, r.readKey)
	case KindRecords:
		m.Records, m.Refused = r.readRecords()
	case KindDelta:
		m.Delta = r.readDelta()
	case KindSummary:
		m.Hash = r.readUint(1<<64 - 1)
	case KindAckRequest, KindAck, KindClaim:
		m.Version = r.readVersion()
	case KindClaimAnswer:
		m.Version = r.readVersion()
		m.Digests = readList(&r, MaxHosts, r.readDigest)
		m.OwnAnswer = r.readOwnAnswer()
	case KindQuestion:
		m.Number, m.Data = r.readUint(1<<64-1), r.readBytes(MaxQuestion)
	case KindAnswer:
		m.Number, m.Refusal, m.Data = r.readUint(1<<64-1), r.readString(MaxRefusal), r.readBytes(MaxAnswer)
	case KindHello, KindHelloReply:
	default:
		return m, r.err
	}
	r.skipFields()
	if r.err != nil {
		return Message{}, r.err
	}
	return m, nil
}

// reader takes values from a buffer. After the first error it returns zero values, so that callers
// check for an error only at the end.
type reader struct {
	buf []byte
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
	}
}

func (r *reader) readDigest() Digest {
	return Digest{Key: r.readKey(), Version: r.readVersion(), Age: r.readAge()}
}

// readRecords reads records. One that this version cannot accept costs the others nothing: a host
// of a later version may have other limits.
func (r *reader) readRecords() (valid []AgedRecord, refused []error) {
	for _, record := range readList(r, MaxHosts, r.readRecord) {
		if err := record.parse(earlierEndpoints{}); err != nil {
			refused = append(refused, err)
		} else {
			valid = append(valid, record)
		}
	}
	return valid, refused
}

// readRecord reads a record, whose content nobody has looked at yet.
func (r *reader) readRecord() AgedRecord {
	record := AgedRecord{Record: Record{Key: r.readKey(), Version: r.readVersion()}, Age: r.readAge()}
	record.Raw = bytes.Clone(r.readBytes(MaxRecord)) // it is kept, and the buffer is not
	if r.err == nil && checksumOf(record.Raw) != record.Version.Checksum {
		r.fail("record of %v is not of the version it claims", record.Key)
	}
	return record
}

func (r *reader) readDelta() Delta {
	return Delta{
		Base:    r.readVersion(),
		Version: r.readVersion(),
		Edits: readList(r, maxEdits, func() Edit {
			return Edit{Keep: int(r.readUint(MaxRecord)), Drop: int(r.readUint(MaxRecord)), Insert: r.readBytes(MaxRecord)}
		}),
	}
}

// readVersion reads the version of a record, so it refuses the zero version.
func (r *reader) readVersion() Version {
	v := Version{
		Incarnation: r.readUint(maxCounter),
		Sequence:    r.readUint(maxCounter),
		Checksum:    Checksum(r.readRaw(checksumLen)),
	}
	if v.Incarnation == 0 || v.Sequence == 0 {
		r.fail("has no version")
	}
	return v
}

func (r *reader) readAge() Age {
	return Age(r.readUint(uint64(time.Duration(MaxAge)/time.Second))) * Age(time.Second)
}

// maxContainerID only bounds what is read. What an id is, cluster.Check knows.
const maxContainerID = 255

func (r *reader) readMAC() kernel.MAC { return kernel.MAC(r.readRaw(len(kernel.MAC{}))) }

func (r *reader) readAddr() netip.Addr {
	switch n := r.readByte(); n {
	case 4:
		return netip.AddrFrom4([4]byte(r.readRaw(4)))
	case 16:
		return netip.AddrFrom16([16]byte(r.readRaw(16)))
	default:
		r.fail("has an address of %d bytes", n)
		return netip.Addr{}
	}
}

// readUint returns a number up to limit. It accepts only the shortest encoding.
func (r *reader) readUint(limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.buf)
	switch {
	case n <= 0:
		r.fail("has no number")
	case n > 1 && r.buf[n-1] == 0:
		r.fail("has a number that is not in its shortest form")
	case v > limit:
		r.fail("has %d where at most %d is allowed", v, limit)
	default:
		r.buf = r.buf[n:]
		return v
	}
	return 0
}

func (r *reader) readBool() bool {
	b := r.readByte()
	if b > 1 {
		r.fail("%d is not a boolean", b)
	}
	return b == 1
}

func (r *reader) readByte() byte { return r.readRaw(1)[0] }

// readFields reads optional fields up to the end: a tag, a length, and so many bytes. Their tags
// rise. A field that has become longer in a later version is read as far as this one knows it.
func (r *reader) readFields(read func(tag uint64, field *reader)) {
	last := uint64(0)
	for r.err == nil && len(r.buf) > 0 {
		tag := r.readUint(maxTag)
		field := reader{buf: r.readBytes(MaxRecord)}
		if r.err == nil && tag <= last {
			r.fail("has field %d after field %d", tag, last)
		}
		if last = tag; r.err == nil {
			read(tag, &field)
			r.err = field.err
		}
	}
}

func (r *reader) skipFields() { r.readFields(func(uint64, *reader) {}) }

// readBytes reads up to limit bytes, preceded by their number. They are part of the buffer.
func (r *reader) readBytes(limit int) []byte {
	n := int(r.readUint(uint64(limit)))
	if r.err == nil && n > len(r.buf) {
		r.fail("ends early")
	}
	if r.err != nil || n == 0 {
		return nil
	}
	return r.readRaw(n)
}

func (r *reader) readString(limit int) string { return string(r.readBytes(limit)) }

// maxRaw is the longest value of a fixed size: a public key.
const maxRaw = 32

// readRaw returns the next n bytes, which are part of the buffer.
func (r *reader) readRaw(n int) []byte {
	if r.err == nil && len(r.buf) < n {
		r.fail("ends early")
	}
	if r.err != nil {
		return make([]byte, min(n, maxRaw))
	}
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b
}

// readList reads up to limit values. The memory it takes grows with the values that are there,
// never with the number that the message claims.
func readList[T any](r *reader, limit int, read func() T) []T {
	n := int(r.readUint(uint64(limit)))
	if n > len(r.buf) {
		r.fail("claims %d values in %d bytes", n, len(r.buf))
	}
	if n == 0 || r.err != nil {
		return nil
	}
	list := make([]T, 0, min(n, 64))
	for range n {
		v := read()
		if r.err != nil {
			return nil
		}
		list = append(list, v)
	}
	return list
}
