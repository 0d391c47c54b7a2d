package gossip

import (
	"cmp"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster/gossip/guard"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// replica is this host's copy of all records, and the rules by which hosts bring
// their copies into agreement. It has no lock of its own, as Plane.mu guards it. Its
// messages leave by the outbox, so it does no I/O.
type replica struct {
	cfg      Config
	peers    *peers
	outbox   *outbox
	refusals *guard.Refusals
	queue    *memberlist.TransmitLimitedQueue // digests that gossip carries
	stats    Stats                            // the counters of records

	own           ownRecord
	table         *table
	requests      map[string]request // by the host whose record was requested
	wakePublisher chan struct{}
}

// request is for a record that has not come yet.
type request struct {
	version wire.Version
	expires time.Time // when to ask another host
	tries   int
}

// requestTimeout is what an answer may take on a LAN, with a stream to be opened and
// a busy sender. After maxTries the comparison of hashes takes over.
const (
	requestTimeout = 500 * time.Millisecond
	maxTries       = 4
)

func newReplica(c Config, p *peers, o *outbox, r *guard.Refusals) *replica {
	return &replica{
		cfg: c, peers: p, outbox: o, refusals: r,
		own:           ownRecord{host: c.Name},
		table:         newTable(c.ForgetAfter),
		requests:      make(map[string]request),
		wakePublisher: make(chan struct{}, 1),
	}
}

// encode puts this host's name and address on a message.
func (r *replica) encode(m wire.Message) []byte {
	m.From, m.Addr = r.cfg.Name, r.cfg.Bind
	return m.Encode()
}

// queueDigest hands a digest to gossip.
func (r *replica) queueDigest(d wire.Digest) {
	message := r.encode(wire.Message{Kind: wire.KindDigests, Digests: []wire.Digest{d}})
	r.queue.QueueBroadcast(digestBroadcast{host: d.Host, message: message})
}

// publish gives what is wanted of this host its version, and sends it to all members
// if it is new.
func (r *replica) publish() {
	before, isNew := r.own.advance()
	if !isNew {
		return
	}
	r.stats.Published++
	if d, ok := r.own.digest(); ok {
		r.queueDigest(d)
	}
	data := r.announcement(before)
	for _, m := range r.peers.members {
		r.outbox.add(m, data)
	}
}

// announcement returns the smaller of the delta and the whole record.
func (r *replica) announcement(before wire.Record) []byte {
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

// leave publishes that this host leaves, and returns the message that says so.
func (r *replica) leave() []byte {
	r.own.leave()
	data := r.encode(wire.Message{Kind: wire.KindRecords, Records: []wire.AgedRecord{{Record: r.own.published, Age: 1}}})
	r.queueDigest(wire.Digest{Host: r.cfg.Name, Version: r.own.published.Version, Age: 1})
	for _, m := range r.peers.members {
		r.outbox.add(m, data)
	}
	return data
}

// digests returns what this host can pass on, its own record included.
func (r *replica) digests() []wire.Digest {
	all := r.table.digests(time.Now())
	if d, ok := r.own.digest(); ok {
		all = append(all, d)
		slices.SortFunc(all, func(a, b wire.Digest) int { return cmp.Compare(a.Host, b.Host) })
	}
	return all
}

// handle takes a message, and tells whether the snapshot changed.
func (r *replica) handle(m wire.Message, from memberlist.Node) (changed bool) {
	switch m.Kind {
	case wire.KindDigests:
		r.handleDigests(m, from)
	case wire.KindRequest:
		r.handleRequest(m, from)
	case wire.KindRecords:
		return r.handleRecords(m)
	case wire.KindDelta:
		return r.handleDelta(m, from)
	case wire.KindSummary:
		if all := r.digests(); wire.HashDigests(all) != m.Hash {
			r.outbox.add(from, r.encode(wire.Message{Kind: wire.KindDigests, Complete: true, Digests: all}))
		}
	}
	return false
}

// handleDigests requests what is newer at the sender, and sends the digests of what
// is newer here. If the sender listed all that it has, that is everything. Otherwise
// it is only the sender's own record: the sender must learn which version an earlier
// life of it left, to go above that.
func (r *replica) handleDigests(m wire.Message, from memberlist.Node) {
	now := time.Now()
	theirs := make(map[string]wire.Version, len(m.Digests))
	var missing []string
	for _, d := range m.Digests {
		theirs[d.Host] = d.Version
		if d.Host == r.cfg.Name {
			r.ownVersionSeen(d.Version)
		} else if r.table.wants(d) && r.startRequest(d, now) {
			missing = append(missing, d.Host)
		}
	}
	r.sendRequest(from, missing)
	var newer []wire.Digest
	for _, d := range r.digests() {
		v, listed := theirs[d.Host]
		if (m.Complete || listed && d.Host == m.From) && d.Version.Compare(v) > 0 {
			newer = append(newer, d)
		}
	}
	if len(newer) > 0 {
		r.outbox.add(from, r.encode(wire.Message{Kind: wire.KindDigests, Digests: newer}))
	}
}

// ownVersionSeen notes that others hold a version of this host's record.
func (r *replica) ownVersionSeen(v wire.Version) {
	if r.own.versionSeen(v) {
		r.queueDigest(wire.Digest{Host: r.cfg.Name, Version: v})
	}
	if r.own.dirty {
		wake(r.wakePublisher)
	}
}

// maxBatch is the size at which a message of several records is sent. The largest
// record on top of it stays within wire.MaxMessage.
const maxBatch = wire.MaxMessage - wire.MaxRecord - 64<<10

// handleRequest sends the records, several in a message.
func (r *replica) handleRequest(m wire.Message, from memberlist.Node) {
	now := time.Now()
	var batch []wire.AgedRecord
	size := 0
	flush := func() {
		if len(batch) > 0 {
			r.outbox.add(from, r.encode(wire.Message{Kind: wire.KindRecords, Records: batch}))
		}
		batch, size = nil, 0
	}
	for _, host := range m.Hosts {
		record, ok := r.table.record(host, now)
		if host == r.cfg.Name && !r.own.published.Version.IsZero() {
			record, ok = wire.AgedRecord{Record: r.own.published}, true
		}
		if !ok {
			continue
		}
		batch, size = append(batch, record), size+record.Size()
		if size > maxBatch {
			flush()
		}
	}
	flush()
}

func (r *replica) handleRecords(m wire.Message) (changed bool) {
	for _, record := range m.Records {
		if record.Host == r.cfg.Name {
			r.ownVersionSeen(record.Version)
			continue
		}
		if r.accept(record) {
			r.stats.Records++
			changed = true
			// Several records are what this host has missed, and no news to the others.
			if len(m.Records) == 1 {
				r.queueDigest(wire.Digest{Host: record.Host, Version: record.Version, Age: record.Age})
			}
		}
	}
	return changed
}

// handleDelta applies a change that a host made to its own record. If its base is
// not here, the whole record is requested.
func (r *replica) handleDelta(m wire.Message, from memberlist.Node) (changed bool) {
	d := wire.Digest{Host: m.From, Version: m.Delta.Version}
	if m.From == r.cfg.Name || !r.table.wants(d) {
		return false
	}
	e, known := r.table.entries[m.From]
	if known && e.visible() && e.Version == m.Delta.Base {
		next, err := m.Delta.Apply(e.Record)
		if err != nil {
			r.refusals.Add(guard.ReasonMalformed, "from "+m.From+": "+err.Error())
		} else if r.accept(wire.AgedRecord{Record: next}) {
			r.stats.Deltas++
			r.queueDigest(d)
			return true
		}
	}
	if r.startRequest(d, time.Now()) {
		r.sendRequest(from, []string{m.From})
	}
	return false
}

// accept stores a record in the table, unless it is refused or no news.
func (r *replica) accept(record wire.AgedRecord) bool {
	for _, m := range record.Memberships {
		if !r.peers.permits(m.VTEP) {
			r.refusals.Add(guard.ReasonUnlisted, "VTEP "+m.VTEP.String()+" of "+record.Host)
			return false
		}
	}
	if !r.table.hasRoomFor(record.Record) {
		r.refusals.Add(guard.ReasonMalformed, "record of "+record.Host+": there are too many endpoints already")
		return false
	}
	if !r.table.put(record, time.Now()) {
		return false
	}
	if q, pending := r.requests[record.Host]; pending && q.version.Compare(record.Version) <= 0 {
		delete(r.requests, record.Host)
	}
	return true
}

// startRequest notes that a record is requested. It returns false if that version is
// already on its way.
func (r *replica) startRequest(d wire.Digest, now time.Time) bool {
	q, pending := r.requests[d.Host]
	if pending && q.version.Compare(d.Version) >= 0 && now.Before(q.expires) {
		return false
	}
	r.requests[d.Host] = request{version: d.Version, expires: now.Add(requestTimeout)}
	return true
}

func (r *replica) sendRequest(to memberlist.Node, hosts []string) {
	if len(hosts) == 0 {
		return
	}
	r.stats.Requested += uint64(len(hosts))
	r.outbox.add(to, r.encode(wire.Message{Kind: wire.KindRequest, Hosts: hosts}))
}

// retryRequests asks again for records that did not come. It asks a random member
// first, as all have most records, then the owner, and so on in turn. The owner may
// just have died, and any other may have missed the record too.
func (r *replica) retryRequests(now time.Time) {
	other, ok := r.peers.randomMember()
	var hosts []string
	for host, q := range r.requests {
		if now.Before(q.expires) {
			continue
		}
		q.tries++
		if q.tries > maxTries || !ok || !r.table.wants(wire.Digest{Host: host, Version: q.version}) {
			delete(r.requests, host)
			continue
		}
		q.expires = now.Add(requestTimeout)
		r.requests[host] = q
		if owner, isMember := r.peers.members[host]; isMember && q.tries%2 == 0 {
			r.sendRequest(owner, []string{host})
		} else {
			hosts = append(hosts, host)
		}
	}
	r.sendRequest(other, hosts)
}

// sendSummary sends a hash of what this host knows to a random member.
func (r *replica) sendSummary() {
	if m, ok := r.peers.randomMember(); ok {
		r.outbox.add(m, r.encode(wire.Message{Kind: wire.KindSummary, Hash: wire.HashDigests(r.digests())}))
	}
}

// digestBroadcast is a digest in memberlist's queue.
type digestBroadcast struct {
	host    string
	message []byte
}

// Name makes a newer digest replace an older one of the same host.
func (b digestBroadcast) Name() string { return b.host }

// Invalidates is not called where there is a Name.
func (b digestBroadcast) Invalidates(memberlist.Broadcast) bool { return false }

// Message returns the digest as it is sent.
func (b digestBroadcast) Message() []byte { return b.message }

// Finished is called when the digest was sent often enough.
func (b digestBroadcast) Finished() {}
