package replica

import (
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// ownRecord is this host's record, and decides which version it has. It does no I/O.
type ownRecord struct {
	host      string
	wanted    []cluster.Membership // what Set asked for
	size      int                  // of wanted, on the wire
	isSet     bool
	dirty     bool         // published is not what is wanted, or not above seen
	published wire.Record  // without a version until there is something to publish
	seen      wire.Version // the newest of this host's record that others hold
}

// set notes what is to be published.
func (o *ownRecord) set(memberships []cluster.Membership, size int) {
	o.wanted, o.size, o.isSet, o.dirty = memberships, size, true, true
}

// advance gives what is wanted its version, and makes it the published record. It
// returns the record before, and whether the new one must be sent.
func (o *ownRecord) advance() (before wire.Record, publish bool) {
	if !o.dirty || !o.isSet || o.published.Left {
		return wire.Record{}, false
	}
	o.dirty = false
	before = o.published
	sum := wire.ContentChecksum(false, o.wanted)
	if before.Version.Checksum == sum && before.Version.Compare(o.seen) >= 0 {
		return wire.Record{}, false // Set was repeated
	}
	o.published = wire.Record{Host: o.host, Version: o.seen, Memberships: o.wanted}
	if before.Version.IsZero() && o.seen.Checksum == sum {
		return wire.Record{}, false // this agent's predecessor published the same, and the others have it
	}
	o.published.Version = before.Version.Next(o.seen, sum)
	return before, true
}

// leave makes a record that takes this host out of the cluster.
func (o *ownRecord) leave() {
	v := o.published.Version.Next(o.seen, wire.ContentChecksum(true, nil))
	o.published = wire.Record{Host: o.host, Left: true, Version: v}
}

// versionSeen notes that others hold a version of this host's record. It tells
// whether the published record took that version, so that its digest must be gossiped
// anew.
func (o *ownRecord) versionSeen(v wire.Version) (adopted bool) {
	if v.Compare(o.seen) > 0 {
		o.seen = v
	}
	if o.published.Version.IsZero() || o.published.Version.Compare(v) >= 0 {
		return false // advance goes above seen; or the others are behind
	}
	if o.published.Version.Checksum == v.Checksum {
		o.published.Version = v // left by this agent's predecessor, with the same content
		return true
	}
	o.dirty = true
	return false
}

func (o *ownRecord) isPublished() bool { return !o.published.Version.IsZero() }

// digest returns the published record's digest.
func (o *ownRecord) digest() wire.Digest {
	return wire.Digest{Host: o.host, Version: o.published.Version}
}
