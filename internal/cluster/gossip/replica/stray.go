package replica

import (
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// StrayKind says why a record seems to be one that this host, or an earlier installation of it, has
// left behind.
type StrayKind int

// The kinds of strays.
const (
	// StrayMoved is of this host's ID, at another address: the host had that before. Or another
	// plane of this host talks by it, or a copy of this host.
	StrayMoved StrayKind = 1 + iota
	// StrayReplaced is of another ID, at this host's address: the host was installed anew, or has
	// got the address of another one.
	StrayReplaced
	// StrayVTEP is of another host that cannot be reached and sent from an address that is this
	// host's now.
	StrayVTEP
)

// Stray is a record that may have to be taken out, as nobody else will do it.
type Stray struct {
	wire.Key
	Kind StrayKind
	// Returned tells that the record was taken out before, and that its owner put it back.
	Returned bool
}

// StrayFound returns a channel that has a value when there may be a stray.
func (r *Replica) StrayFound() <-chan struct{} { return r.strays }

// Strays returns the records of other keys that seem to be this host's.
func (r *Replica) Strays() (strays []Stray) {
	for host, e := range r.entries {
		kind := r.strayKind(host, e)
		if kind == 0 || !e.isVisible() {
			continue
		}
		_, returned := r.tookOut[host]
		strays = append(strays, Stray{Key: host, Kind: kind, Returned: returned})
	}
	slices.SortFunc(strays, func(a, b Stray) int { return a.Key.Compare(b.Key) })
	return strays
}

func (r *Replica) strayKind(host wire.Key, e *entry) StrayKind {
	self := r.cfg.Self
	switch {
	case host.ID == self.ID && host.Addr != self.Addr:
		return StrayMoved
	case host.ID != self.ID && host.Addr == self.Addr:
		return StrayReplaced
	case !r.present[host] && slices.ContainsFunc(e.Memberships, r.hasVTEPOf):
		return StrayVTEP
	}
	return 0
}

// hasVTEPOf tells whether this host sends from the VTEP of a membership.
func (r *Replica) hasVTEPOf(m cluster.Membership) bool {
	return slices.ContainsFunc(r.own.wanted.Memberships, func(own cluster.Membership) bool { return own.VTEP == m.VTEP })
}

// reportStray reports a record that came, or whose host is lost, if it may be a stray.
func (r *Replica) reportStray(host wire.Key) {
	if e, known := r.entries[host]; !known || r.strayKind(host, e) == 0 {
		return
	}
	select {
	case r.strays <- struct{}{}:
	default:
	}
}

// MarkLost notes that a host is unreachable, and tells whether that changes the snapshot.
func (r *Replica) MarkLost(host wire.Key, now time.Time) (changed bool) {
	changed = r.table.MarkLost(host, now)
	r.reportStray(host)
	return changed
}

// TakeOut makes all hosts forget a host's record, as if that had left. If the host lives, it puts
// the record back. It tells whether the snapshot changed.
func (r *Replica) TakeOut(host wire.Key, now time.Time) (changed bool) {
	return r.replaceByLeft(wire.NewLeftRecord(host), now)
}

// ForgetHost takes out the record of a host that is gone for good, as an administrator says. It
// tells whether the snapshot changed.
func (r *Replica) ForgetHost(host wire.Key, now time.Time) (changed bool) {
	return !r.present[host] && r.replaceByLeft(wire.NewForgottenRecord(host, r.cfg.Name()), now)
}

// sendToOwner tells a reachable host of a version of its record that it should go above.
func (r *Replica) sendToOwner(d wire.Digest) {
	r.out.sendMessage(d.Key, wire.Message{Kind: wire.KindDigests, Digests: []wire.Digest{d}})
}

func (r *Replica) replaceByLeft(left wire.Record, now time.Time) (changed bool) {
	host := left.Key
	e, known := r.entries[host]
	if !known || e.Left {
		return false
	}
	left.Version = wire.Version{}.Next(e.Version, left.Checksum())
	left.Name = e.Name
	record := wire.AgedRecord{Record: left, Age: wire.Age(time.Second)}
	if !r.acceptRecord(record, true, now) {
		return false
	}
	r.tookOut[host] = takeOutCopies
	r.out.gossipDigest(wire.Digest{Key: host, Version: left.Version, Age: record.Age})
	r.sendTakenOut(now)
	r.requests.wake()
	return true
}

// takeOutCopies is how often the others are told that a record was taken out. The comparison of
// hashes would not find a host that missed it, where the record's host is unreachable: it leaves
// these out.
const takeOutCopies = 3

// sendTakenOut tells the others what this host took out, and whether it is due once more.
func (r *Replica) sendTakenOut(now time.Time) (again bool) {
	for host, copies := range r.tookOut {
		record, known := r.Record(host, now)
		if copies == 0 || !known || !record.Left {
			continue
		}
		r.tookOut[host]--
		again = again || r.tookOut[host] > 0
		r.out.sendToAll(r.out.encodeMessage(wire.Message{Kind: wire.KindRecords, Records: []wire.AgedRecord{record}}))
	}
	return again
}
