package wire

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"hash/fnv"
	"time"

	"vxlan-driver/internal/cluster"
)

// Record is all that a host announces about itself by one of its addresses.
type Record struct {
	Key
	Version     Version
	Left        bool   // the host was taken out; it has no memberships
	ForgottenBy string // the host on which an administrator took it out; "": nobody did
	Name        string // for people; "": unknown
	Memberships []cluster.Membership
	// Raw is the content as its owner encoded it, which has all that the fields above say. It may
	// also have what only a later version knows. So others hash it and pass it on as it is.
	Raw []byte
}

// NewRecord returns a host's record, still without a version.
func NewRecord(key Key, name string, memberships []cluster.Membership) Record {
	r := Record{Key: key, Name: name, Memberships: memberships}
	r.Raw = encodeContent(r)
	return r
}

// NewLeftRecord returns the record that takes a host out, still without a version.
func NewLeftRecord(key Key) Record {
	r := Record{Key: key, Left: true}
	r.Raw = encodeContent(r)
	return r
}

// NewForgottenRecord returns the record of a host that an administrator took out, on the host by. A
// host of an early version takes it for a leave.
func NewForgottenRecord(key Key, by string) Record {
	r := Record{Key: key, Left: true, ForgottenBy: by}
	r.Raw = encodeContent(r)
	return r
}

// Checksum hashes what the record says.
func (r Record) Checksum() Checksum { return checksumOf(r.Raw) }

// Version orders the records of one host. An agent that starts anew begins at incarnation 1. When
// it hears of a version that its predecessor left with the others, it continues above that. So
// neither a clock nor a disk is needed.
//
// The checksum makes equal versions mean equal content, even where two lives of an agent have
// counted to the same number. It also proves that a delta was applied to the record that it was
// made from.
type Version struct {
	Incarnation uint64
	Sequence    uint64
	Checksum    Checksum
}

// Checksum is a hash of a record's content.
type Checksum [checksumLen]byte

// checksumLen keeps digests short. Two of 2^32 different records have equal checksums with a
// probability of one half.
const checksumLen = 8

const (
	// maxCounter is the largest incarnation or sequence.
	maxCounter = 1<<63 - 1
	// maxJump is how far an incarnation may be above another one that is known. A host needs a new
	// one each time that its agent starts.
	maxJump = 1 << 32
)

// IsZero reports whether v is the zero version, which no record has.
func (v Version) IsZero() bool { return v == Version{} }

// Compare orders by incarnation, then sequence, then checksum. So of two records all hosts keep the
// same one, until their owner goes above both.
func (v Version) Compare(o Version) int {
	return cmp.Or(cmp.Compare(v.Incarnation, o.Incarnation), cmp.Compare(v.Sequence, o.Sequence),
		bytes.Compare(v.Checksum[:], o.Checksum[:]))
}

// IsFarAbove tells whether v is further above another version of the same record than its owner can
// have counted. Somebody made v up, or the owner has begun to count anew.
func (v Version) IsFarAbove(o Version) bool {
	return v.Incarnation > o.Incarnation && v.Incarnation-o.Incarnation > maxJump
}

// Replaces tells whether a record of version v takes the place of one that is known. The owner has
// the last word: what it says itself counts even where a version that was made up is far above.
func (v Version) Replaces(known Version, fromOwner bool) bool {
	if v.IsFarAbove(known) || known.IsFarAbove(v) {
		return fromOwner
	}
	return v.Compare(known) > 0
}

// Next returns the version of new content. It follows v, this host's own, and is above the version
// of this host's record that others hold. After the last one come the first again.
func (v Version) Next(others Version, content Checksum) Version {
	next := Version{Incarnation: max(v.Incarnation, 1), Sequence: v.Sequence + 1, Checksum: content}
	if next.Compare(others) <= 0 || next.Incarnation == others.Incarnation && next.Sequence == others.Sequence {
		next.Incarnation, next.Sequence = others.Incarnation+1, 1
	}
	if next.Sequence > maxCounter {
		next.Incarnation, next.Sequence = next.Incarnation+1, 1
	}
	if next.Incarnation > maxCounter {
		next.Incarnation = 1
	}
	return next
}

func checksumOf(content []byte) Checksum {
	full := sha256.Sum256(content)
	return Checksum(full[:checksumLen])
}

// AgedRecord is a record, and how long its owner has been gone.
type AgedRecord struct {
	Record
	Age Age
}

// Size returns how many bytes the record takes in a message.
func (r AgedRecord) Size() int {
	var w writer
	w.putRecord(r)
	return len(w.buf)
}

// Age is how long ago the owner of a record became unreachable or left, as the sender measured it;
// 0 means that it is reachable. The age travels with the record. Otherwise hosts that pass a record
// on to each other could keep it for ever.
type Age time.Duration

// MaxAge is far beyond any time after which hosts are forgotten, and well within a Duration.
const MaxAge = Age(100 * 365 * 24 * time.Hour)

// Digest says that the sender has a host's record, and in which version.
type Digest struct {
	Key
	Version Version
	Age     Age
}

// Hash returns what the digest adds to a summary: a hash of what it says but for the age.
//
// A summary is the sum of such hashes, so that hosts can find out with one packet that they know
// the same. A sum needs no order, and each of its parts is computed once. Hosts that are gone are
// left out, as not all forget them at the same time. Push-pull carries what is known of those.
func (d Digest) Hash() uint64 {
	var w writer
	d.Age = 0
	w.putDigest(d)
	h := fnv.New64a()
	_, _ = h.Write(w.buf) // never fails (hash.Hash)
	return h.Sum64()
}

// maxHostName is the length of a Linux host name (HOST_NAME_MAX), in bytes.
const maxHostName = 64

// CheckHostName says why no host has this name.
func CheckHostName(name string) error {
	if len(name) > maxHostName {
		return fmt.Errorf("has over %d bytes", maxHostName)
	}
	return cluster.CheckName(name)
}
