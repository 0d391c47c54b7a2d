package gossip

import (
	"bytes"
	"cmp"
	"crypto/sha256"

	"vxlan-driver/internal/cluster"
)

// version orders the records of one host. An agent that starts anew begins at
// incarnation 1 and, when it hears of a version that its predecessor left with
// the others, goes on above it; so neither a clock nor a disk is needed.
//
// The sum makes equal versions equal content, also where two lives of an agent
// have counted to the same number, and proves that a delta was applied to what
// it was made from.
type version struct {
	incarnation uint64
	sequence    uint64
	sum         [sumLen]byte
}

// sumLen is enough for 2^32 records to meet by chance with a probability of one
// half, and little in each digest.
const sumLen = 8

// maxCounter keeps room to go above any version that is accepted.
const maxCounter = 1<<63 - 1

func (v version) isZero() bool { return v == version{} }

// compare orders by incarnation, sequence, and last by sum, so that all hosts
// keep the same of two records until their owner goes above both.
func (v version) compare(o version) int {
	return cmp.Or(cmp.Compare(v.incarnation, o.incarnation), cmp.Compare(v.sequence, o.sequence),
		bytes.Compare(v.sum[:], o.sum[:]))
}

// after returns the version of new content that follows v and what others have
// of this host.
func (v version) after(others version, content [sumLen]byte) version {
	next := version{incarnation: max(v.incarnation, 1), sequence: v.sequence + 1, sum: content}
	if next.compare(others) <= 0 || next.incarnation == others.incarnation && next.sequence == others.sequence {
		next.incarnation, next.sequence = others.incarnation+1, 1
	}
	return next
}

// record is all that a host says of itself.
type record struct {
	name        string
	version     version
	left        bool // the host took itself out; there are no attachments
	attachments []cluster.Membership
}

// contentSum hashes what a record says, in its canonical encoding.
func contentSum(left bool, attachments []cluster.Membership) [sumLen]byte {
	var w writer
	w.content(left, attachments)
	full := sha256.Sum256(w.buf)
	return [sumLen]byte(full[:sumLen])
}
