package replica

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// Network is how a Replica reaches the other hosts. Its methods must not block.
type Network interface {
	// Members returns the reachable hosts, this one excluded. The list must not be changed.
	Members() []wire.Key
	// Send sends a message to one host. It may get lost.
	Send(to wire.Key, message []byte)
	// Format returns the format of messages that all members accept.
	Format() uint8
}

// Config is what a Replica needs to know.
type Config struct {
	Self        wire.Key
	Name        func() string // of this host, for people
	Limits      Limits        // zero: DefaultLimits
	ForgetAfter time.Duration // how long an unreachable host's record is kept
	Permits     func(vtep netip.Addr) bool
	Refusals    *refusal.Counter
	Network     Network
	NewRecord   NewRecord
	// Share replaces a record that is about to be stored by an equal one; nil: none does. Tests with
	// many hosts in one process keep each record once.
	Share func(wire.Record) wire.Record
}

// NewRecord encodes what a host announces: wire.NewRecord, or as another version would.
type NewRecord func(host wire.Key, name string, memberships []cluster.Membership) wire.Record

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
	*table // the other hosts' records
	*requests
	*acks
	*claims
	own *ownRecord
	out *messenger
	// excluded are the records for which there is no room, this host's included, and which limit they
	// are above.
	excluded map[wire.Key]string
	tookOut  map[wire.Key]int // strays that this host took out, and how often it will say so
	strays   chan struct{}

	cfg             Config
	stats           Stats
	publishRequests chan struct{}
}

// New returns a Replica without records.
func New(c Config) *Replica {
	t, out := newTable(c.ForgetAfter, cmp.Or(c.Limits, DefaultLimits)), &messenger{c.Self, c.Network, newNews()}
	t.snapshot.Self = c.Self.ID
	q, own := newRequests(t, out), &ownRecord{host: c.Self}
	r := &Replica{
		table:           t,
		own:             own,
		requests:        q,
		acks:            newAcks(t, out, q),
		out:             out,
		tookOut:         make(map[wire.Key]int),
		strays:          make(chan struct{}, 1),
		cfg:             c,
		publishRequests: make(chan struct{}, 1),
	}
	r.claims = newClaims(claimsContext{
		self: c.Self, table: t, record: own, out: out, requests: q,
		publish: r.publishClaims, exclusion: func() string { return r.excluded[c.Self] },
	})
	return r
}

// Stats returns the counters.
func (r *Replica) Stats() Stats {
	stats := r.stats
	stats.Entries, stats.Requested = len(r.entries), r.requests.sent
	return stats
}

// Retry repeats what may have been lost: requests for records, and that records were taken out. It
// tells whether something is still pending.
func (r *Replica) Retry(now time.Time) (pending bool) {
	pending = r.sendTakenOut(now)
	r.RetryRequests(now)
	return pending || len(r.requests.byHost) > 0
}

// DigestMessage returns a message with the digests of all records, for push-pull.
func (r *Replica) DigestMessage(now time.Time) []byte {
	return r.out.encodeMessage(wire.Message{Kind: wire.KindDigests, Digests: r.allDigests(now)})
}

// allDigests returns what this host can pass on, its own record included.
func (r *Replica) allDigests(now time.Time) []wire.Digest {
	all := r.table.listDigests(now)
	if r.own.isPublished() {
		all = append(all, r.own.publishedDigest())
	}
	return all
}

// summary returns the sum of all digests, this host's included.
func (r *Replica) summary() uint64 {
	sum := r.table.summary()
	if r.own.isPublished() {
		sum += r.own.publishedDigest().Hash()
	}
	return sum
}

// Handle takes a message, and tells whether the snapshot changed.
func (r *Replica) Handle(m wire.Message, now time.Time) (changed bool) {
	switch m.Kind {
	case wire.KindDigests:
		r.handleDigests(m, now)
	case wire.KindRequest:
		r.handleRequest(m, now)
	case wire.KindRecords:
		return r.handleRecords(m, now)
	case wire.KindDelta:
		return r.handleDelta(m, now)
	case wire.KindSummary:
		if r.summary() != m.Hash {
			r.out.sendMessage(m.From, wire.Message{Kind: wire.KindDigests, Complete: true, Digests: r.allDigests(now)})
		}
	case wire.KindAckRequest:
		r.handleAckRequest(m, now)
	case wire.KindAck:
		r.acks.handleAck(m.From, m.Version)
	case wire.KindClaim:
		r.handleClaim(m, now)
	case wire.KindClaimAnswer:
		r.handleClaimAnswer(m, now)
	}
	return false
}

// handleDigests requests what is newer at the sender, and sends the digests of what is newer here.
// If the sender listed all that it has, that is everything. Otherwise it is only the sender's record
// and this host's. The sender must learn which version an earlier life of it left, to go above that.
func (r *Replica) handleDigests(m wire.Message, now time.Time) {
	theirs := make(map[wire.Key]wire.Version, len(m.Digests))
	var missing []wire.Key
	for _, d := range m.Digests {
		theirs[d.Key] = d.Version
		if d.Key == r.cfg.Self {
			r.ownVersionSeen(d.Version)
		} else if owner := m.From.SpeaksFor(d.Key); r.wantsVersion(d, owner) && r.requests.start(d, owner, now) {
			missing = append(missing, d.Key)
		}
	}
	r.requests.send(m.From, missing)
	var newer []wire.Digest
	for _, d := range r.digestsToCompare(m, now) {
		v, listed := theirs[d.Key]
		if listed && d.Version.Replaces(v, r.cfg.Self.SpeaksFor(d.Key)) || !listed && m.Complete {
			newer = append(newer, d)
		}
	}
	if len(newer) > 0 {
		r.out.sendMessage(m.From, wire.Message{Kind: wire.KindDigests, Digests: newer})
	}
}

// digestsToCompare returns the digests of which the sender may have older versions. Most messages
// have a digest or a few, so all digests are listed only where the sender did so.
func (r *Replica) digestsToCompare(m wire.Message, now time.Time) (digests []wire.Digest) {
	if m.Complete {
		return r.allDigests(now)
	}
	if e, known := r.entries[m.From]; known && !e.forgotten {
		digests = append(digests, e.digestAt(now))
	}
	if r.own.isPublished() {
		digests = append(digests, r.own.publishedDigest())
	}
	return digests
}

// maxBatch is the size at which a message of several records is sent. The largest record on top of
// it stays within wire.MaxMessage.
const maxBatch = wire.MaxMessage - wire.MaxRecord - 64<<10

// handleRequest sends the records, several in a message.
func (r *Replica) handleRequest(m wire.Message, now time.Time) {
	var batch []wire.AgedRecord
	size := 0
	flush := func() {
		if len(batch) > 0 {
			r.out.sendMessage(m.From, wire.Message{Kind: wire.KindRecords, Records: batch})
		}
		batch, size = nil, 0
	}
	for _, host := range m.Hosts {
		record, ok := r.Record(host, now)
		if host == r.cfg.Self && r.own.isPublished() {
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

// SendSummary sends a hash of what this host knows to a random member.
func (r *Replica) SendSummary(now time.Time) {
	if members := r.out.network.Members(); len(members) > 0 {
		r.out.sendMessage(members[rand.N(len(members))], wire.Message{Kind: wire.KindSummary, Hash: r.summary()})
	}
}

// messenger sends messages in this host's name.
type messenger struct {
	self    wire.Key
	network Network
	news    news
}

// encodeMessage puts this host's name and address on a message.
func (s messenger) encodeMessage(m wire.Message) []byte {
	m.Format, m.From = s.network.Format(), s.self
	return m.Encode()
}

func (s messenger) sendMessage(to wire.Key, m wire.Message) { s.network.Send(to, s.encodeMessage(m)) }

func (s messenger) sendToAll(message []byte) {
	for _, p := range s.network.Members() {
		s.network.Send(p, message)
	}
}

func (s messenger) gossipDigest(d wire.Digest) { s.news.add(d) }
