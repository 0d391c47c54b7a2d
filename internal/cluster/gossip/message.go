package gossip

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"vxlan-driver/internal/cluster"
)

// protocolVersion is the first byte of every message of ours, and memberlist's
// delegate version. A change that an older agent would misread raises it.
const protocolVersion = 1

var errVersion = errors.New("another protocol version")

// Limits on messages. A record of a host with 1,000 containers has 120 kB.
const (
	maxRecord   = 512 << 10
	maxMessage  = 1 << 20
	maxHosts    = 4096 // in one list; memberlist itself is at its limits there
	maxHostName = 64   // bytes: a Linux host name (HOST_NAME_MAX)
)

// The kinds of messages. The second byte of a message is one of these.
const (
	kindDigests byte = 1 + iota
	kindWant
	kindRecords
	kindDelta
	kindSummary
)

// message is a message of any kind; kind says which fields it has.
type message struct {
	kind byte
	from string         // the host that sent it, which need not be the owner of what it tells
	addr netip.AddrPort // where it listens

	full    bool     // digests: these are all there are, so answer with what is newer
	digests []digest // digests
	names   []string // want
	records []held   // records
	delta   delta    // delta
	hash    uint64   // summary
}

// digest says that the sender has a host's record, and in which version.
type digest struct {
	name    string
	version version
	age     age
}

// held is a record with how the sender sees its owner.
type held struct {
	record
	age age
}

// age is how long ago the owner was lost or left, as the sender measured; 0
// means that it is there. It travels with the record so that a record cannot be
// kept for ever by hosts that pass it on to each other.
type age time.Duration

// maxAge is far beyond any ForgetAfter, and well within a Duration.
const maxAge = age(100 * 365 * 24 * time.Hour)

func (m message) encode() []byte {
	w := writer{buf: []byte{protocolVersion, m.kind}}
	w.string(m.from)
	w.addr(m.addr.Addr())
	w.uint(uint64(m.addr.Port()))
	switch m.kind {
	case kindDigests:
		w.bool(m.full)
		writeList(&w, m.digests, w.digest)
	case kindWant:
		writeList(&w, m.names, w.string)
	case kindRecords:
		writeList(&w, m.records, w.held)
	case kindDelta:
		w.delta(m.delta)
	case kindSummary:
		w.uint(m.hash)
	}
	return w.buf
}

// decode reads a message and checks all of it: what it returns is valid.
func decode(data []byte) (message, error) {
	if len(data) < 2 || len(data) > maxMessage {
		return message{}, fmt.Errorf("%w: has %d bytes", errMalformed, len(data))
	}
	if data[0] != protocolVersion {
		return message{}, fmt.Errorf("%w: %d instead of %d", errVersion, data[0], protocolVersion)
	}
	r := reader{buf: data[2:]}
	m := message{kind: data[1], from: r.host(), addr: netip.AddrPortFrom(r.addr(), uint16(r.uint(1<<16-1)))}
	if a := m.addr.Addr(); r.err == nil && (a.IsUnspecified() || a.IsMulticast() || a.Is4In6() || m.addr.Port() == 0) {
		r.fail("comes from %v", m.addr)
	}
	switch m.kind {
	case kindDigests:
		m.full = r.bool()
		m.digests = readList(&r, maxHosts, r.digest)
	case kindWant:
		m.names = readList(&r, maxHosts, r.host)
	case kindRecords:
		m.records = readList(&r, maxHosts, r.held)
	case kindDelta:
		m.delta = r.delta()
	case kindSummary:
		m.hash = r.uint(1<<64 - 1)
	default:
		r.fail("is of the unknown kind %d", m.kind)
	}
	if len(r.buf) > 0 {
		r.fail("has %d bytes too many", len(r.buf))
	}
	if r.err != nil {
		return message{}, r.err
	}
	return m, nil
}

func (w *writer) version(v version) {
	w.uint(v.incarnation)
	w.uint(v.sequence)
	w.raw(v.sum[:])
}

// age is sent in seconds and rounded up, as 0 has a meaning of its own.
func (w *writer) age(a age) {
	w.uint((uint64(a) + uint64(time.Second) - 1) / uint64(time.Second))
}

func (w *writer) digest(d digest) {
	w.string(d.name)
	w.version(d.version)
	w.age(d.age)
}

func (w *writer) held(h held) {
	w.string(h.name)
	w.version(h.version)
	w.age(h.age)
	w.content(h.left, h.attachments)
}

func (r *reader) host() string {
	name := r.string(maxHostName)
	if err := checkHostName(name); r.err == nil && err != nil {
		r.fail("host name %q: %v", name, err)
	}
	return name
}

// version reads a version of something; the zero version is of nothing.
func (r *reader) version() version {
	v := version{incarnation: r.uint(maxCounter), sequence: r.uint(maxCounter), sum: [sumLen]byte(r.raw(sumLen))}
	if v.incarnation == 0 || v.sequence == 0 {
		r.fail("has no version")
	}
	return v
}

func (r *reader) age() age {
	return age(r.uint(uint64(time.Duration(maxAge)/time.Second))) * age(time.Second)
}

func (r *reader) digest() digest {
	return digest{name: r.host(), version: r.version(), age: r.age()}
}

func (r *reader) held() held {
	h := held{record: record{name: r.host(), version: r.version()}, age: r.age()}
	before := len(r.buf)
	h.left, h.attachments = r.content()
	if before-len(r.buf) > maxRecord {
		r.fail("record of %s has over %d bytes", h.name, maxRecord)
	}
	if r.err == nil && contentSum(h.left, h.attachments) != h.version.sum {
		r.fail("record of %s is not of the version it claims", h.name)
	}
	return h
}

// checkHostName tells whether a host can be called so in the cluster.
func checkHostName(name string) error {
	if len(name) > maxHostName {
		return fmt.Errorf("has over %d bytes", maxHostName)
	}
	return cluster.CheckName(name)
}
