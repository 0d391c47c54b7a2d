package replica

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// Peer is another host, and where it listens.
type Peer struct {
	Host string
	Addr netip.AddrPort
}

// Network is how a Replica reaches the other hosts. Its methods must not block.
type Network interface {
	// Members returns the reachable hosts, this one excluded.
	Members() []Peer
	// Send sends a message to one host. It may get lost.
	Send(to Peer, message []byte)
	// Gossip spreads a message about a host. It replaces an older one about the same.
	Gossip(host string, message []byte)
}

// Config is what a Replica needs to know.
type Config struct {
	Self        Peer
	ForgetAfter time.Duration // how long an unreachable host's record is kept
	Permits     func(vtep netip.Addr) bool
	Refusals    *refusal.Counter
	Network     Network
}

// Stats counts what happened to records.
type Stats struct {
	Deltas    uint64 // applied
	Records   uint64 // received and stored
	Requested uint64 // records requested
	Published uint64 // versions of this host's own record
	Entries   int    // hosts that are remembered, forgotten ones whose version is kept included
}

// Replica is one host's copy of all records.
type Replica struct {
	cfg       Config
	stats     Stats
	own       ownRecord
	table     *table
	requests  map[string]request // by the host whose record was requested
	publishes chan struct{}
}

// New returns a Replica without records.
func New(c Config) *Replica {
	return &Replica{
		cfg:       c,
		own:       ownRecord{host: c.Self.Host},
		table:     newTable(c.ForgetAfter),
		requests:  make(map[string]request),
		publishes: make(chan struct{}, 1),
	}
}

// Stats returns the counters.
func (r *Replica) Stats() Stats {
	stats := r.stats
	stats.Entries = len(r.table.entries)
	return stats
}

// Snapshot returns the records of the other hosts, without the hosts' addresses.
func (r *Replica) Snapshot() cluster.Snapshot { return r.table.snapshot() }

// MarkPresent notes that a host is reachable, and tells whether that changes the snapshot.
func (r *Replica) MarkPresent(host string) bool { return r.table.markPresent(host) }

// MarkLost notes that a host is unreachable, and tells whether that changes the snapshot.
func (r *Replica) MarkLost(host string, now time.Time) bool { return r.table.markLost(host, now) }

// HasLeft tells whether a host announced that it leaves the cluster.
func (r *Replica) HasLeft(host string) bool {
	e, known := r.table.entries[host]
	return known && e.Left
}

// Knows tells whether a host is part of the snapshot.
func (r *Replica) Knows(host string) bool {
	e, known := r.table.entries[host]
	return known && e.visible()
}

// Forget forgets hosts that have been gone for too long, and tells whether that changes the
// snapshot.
func (r *Replica) Forget(now time.Time) bool { return r.table.expire(now) }

// Set notes what this host's record should be. The caller publishes it when Publishes says
// so.
func (r *Replica) Set(local []cluster.Membership) error {
	memberships, err := cluster.Canonical(local)
	if err != nil {
		return err
	}
	size := wire.ContentSize(memberships)
	if size > wire.MaxRecord {
		return fmt.Errorf("%d bytes, at most %d are allowed", size, wire.MaxRecord)
	}
	r.own.set(memberships, size)
	r.requestPublish()
	return nil
}

// Publishes returns a channel that has a value when Publish should be called.
func (r *Replica) Publishes() <-chan struct{} { return r.publishes }

func (r *Replica) requestPublish() {
	select {
	case r.publishes <- struct{}{}:
	default: // it was requested already
	}
}

// Publish gives this host's record its version, and sends it to all members if it is new.
func (r *Replica) Publish() {
	before, isNew := r.own.advance()
	if !isNew {
		return
	}
	r.stats.Published++
	r.gossipDigest(r.own.digest())
	r.sendToAll(r.announcement(before))
}

// encode puts this host's name and address on a message.
func (r *Replica) encode(m wire.Message) []byte {
	m.From, m.Addr = r.cfg.Self.Host, r.cfg.Self.Addr
	return m.Encode()
}

func (r *Replica) send(to Peer, m wire.Message) { r.cfg.Network.Send(to, r.encode(m)) }

func (r *Replica) sendToAll(message []byte) {
	for _, p := range r.cfg.Network.Members() {
		r.cfg.Network.Send(p, message)
	}
}

func (r *Replica) gossipDigest(d wire.Digest) {
	r.cfg.Network.Gossip(d.Host, r.encode(wire.Message{Kind: wire.KindDigests, Digests: []wire.Digest{d}}))
}

// announcement returns the smaller of the delta and the whole record.
func (r *Replica) announcement(before wire.Record) []byte {
	var delta []byte
	if !before.Version.IsZero() {
		delta = r.encode(wire.Message{Kind: wire.KindDelta, Delta: wire.Diff(before, r.own.published)})
		if len(delta) <= r.own.size {
			return delta
		}
	}
	whole := r.encode(wire.Message{Kind: wire.KindRecords, Records: []wire.AgedRecord{{Record: r.own.published}}})
	if delta != nil && len(delta) < len(whole) {
		return delta
	}
	return whole
}

// Leave publishes that this host leaves, and returns the message that says so.
func (r *Replica) Leave() []byte {
	r.own.leave()
	message := r.encode(wire.Message{Kind: wire.KindRecords, Records: []wire.AgedRecord{{Record: r.own.published, Age: 1}}})
	r.gossipDigest(wire.Digest{Host: r.cfg.Self.Host, Version: r.own.published.Version, Age: 1})
	r.sendToAll(message)
	return message
}

// DigestMessage returns a message with the digests of all records, for push-pull.
func (r *Replica) DigestMessage(now time.Time) []byte {
	return r.encode(wire.Message{Kind: wire.KindDigests, Digests: r.digests(now)})
}

// Greet sends a new member the digest of this host's record. The member then requests the
// record, or answers that it has a later version, from an earlier life of this host.
func (r *Replica) Greet(p Peer) {
	if r.own.isPublished() {
		r.send(p, wire.Message{Kind: wire.KindDigests, Digests: []wire.Digest{r.own.digest()}})
	}
}

// digests returns what this host can pass on, its own record included.
func (r *Replica) digests(now time.Time) []wire.Digest {
	all := r.table.digests(now)
	if r.own.isPublished() {
		all = append(all, r.own.digest())
		slices.SortFunc(all, func(a, b wire.Digest) int { return cmp.Compare(a.Host, b.Host) })
	}
	return all
}
