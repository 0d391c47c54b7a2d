package replica

import (
	"cmp"
	"math/rand/v2"
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
	// Format returns the format of messages that all members accept.
	Format() uint8
}

// Config is what a Replica needs to know.
type Config struct {
	Self        Peer
	ForgetAfter time.Duration // how long an unreachable host's record is kept
	Permits     func(vtep netip.Addr) bool
	Refusals    *refusal.Counter
	Network     Network
	NewRecord   NewRecord
}

// NewRecord encodes what a host announces: wire.NewRecord, or as another version would.
type NewRecord func(host string, left bool, memberships []cluster.Membership) wire.Record

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
	*table   // the other hosts' records
	own      ownRecord
	requests pendingRequests
	asked    ackRequests
	waits    ackWaits
	out      messenger

	local         []cluster.Membership // what Set was given, in canonical order
	claims        map[ClaimKey]*addressClaim
	claimWaits    map[*ClaimWait]bool
	claimsAsked   claimsAsked
	answersClaims bool

	cfg             Config
	stats           Stats
	publishRequests chan struct{}
}

// New returns a Replica without records.
func New(c Config) *Replica {
	return &Replica{
		table:           newTable(c.ForgetAfter),
		own:             ownRecord{host: c.Self.Host, newRecord: c.NewRecord},
		requests:        make(pendingRequests),
		asked:           ackRequests{pending: make(map[Peer]wire.Version), requested: make(chan struct{}, 1)},
		waits:           make(ackWaits),
		claims:          make(map[ClaimKey]*addressClaim),
		claimWaits:      make(map[*ClaimWait]bool),
		claimsAsked:     make(claimsAsked),
		out:             messenger{c.Self, c.Network},
		cfg:             c,
		publishRequests: make(chan struct{}, 1),
	}
}

// Stats returns the counters.
func (r *Replica) Stats() Stats {
	stats := r.stats
	stats.Entries = len(r.entries)
	return stats
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
		slices.SortFunc(all, func(a, b wire.Digest) int { return cmp.Compare(a.Host, b.Host) })
	}
	return all
}

// Handle takes a message, and tells whether the snapshot changed.
func (r *Replica) Handle(m wire.Message, from Peer, now time.Time) (changed bool) {
	switch m.Kind {
	case wire.KindDigests:
		r.handleDigests(m, from, now)
	case wire.KindRequest:
		r.handleRequest(m, from, now)
	case wire.KindRecords:
		return r.handleRecords(m, now)
	case wire.KindDelta:
		return r.handleDelta(m, from, now)
	case wire.KindSummary:
		if all := r.allDigests(now); wire.HashDigests(all) != m.Hash {
			r.out.sendMessage(from, wire.Message{Kind: wire.KindDigests, Complete: true, Digests: all})
		}
	case wire.KindAckRequest:
		r.handleAckRequest(m, from, now)
	case wire.KindAck:
		r.waits.handleAck(from.Host, m.Version)
	case wire.KindClaim:
		r.handleClaim(m, from, now)
	case wire.KindClaimAnswer:
		r.handleClaimAnswer(m, from, now)
	}
	return false
}

// handleDigests requests what is newer at the sender, and sends the digests of what is newer here.
// If the sender listed all that it has, that is everything. Otherwise it is only the sender's own
// record: the sender must learn which version an earlier life of it left, to go above that.
func (r *Replica) handleDigests(m wire.Message, from Peer, now time.Time) {
	theirs := make(map[string]wire.Version, len(m.Digests))
	var missing []string
	for _, d := range m.Digests {
		theirs[d.Host] = d.Version
		if d.Host == r.cfg.Self.Host {
			r.ownVersionSeen(d.Version)
		} else if r.wantsVersion(d) && r.requests.start(d, now) {
			missing = append(missing, d.Host)
		}
	}
	r.sendRequest(from, missing)
	var newer []wire.Digest
	for _, d := range r.allDigests(now) {
		v, listed := theirs[d.Host]
		if (m.Complete || listed && d.Host == m.From) && d.Version.Compare(v) > 0 {
			newer = append(newer, d)
		}
	}
	if len(newer) > 0 {
		r.out.sendMessage(from, wire.Message{Kind: wire.KindDigests, Digests: newer})
	}
}

// maxBatch is the size at which a message of several records is sent. The largest record on top of
// it stays within wire.MaxMessage.
const maxBatch = wire.MaxMessage - wire.MaxRecord - 64<<10

// handleRequest sends the records, several in a message.
func (r *Replica) handleRequest(m wire.Message, from Peer, now time.Time) {
	var batch []wire.AgedRecord
	size := 0
	flush := func() {
		if len(batch) > 0 {
			r.out.sendMessage(from, wire.Message{Kind: wire.KindRecords, Records: batch})
		}
		batch, size = nil, 0
	}
	for _, host := range m.Hosts {
		record, ok := r.Record(host, now)
		if host == r.cfg.Self.Host && r.own.isPublished() {
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

func (r *Replica) handleRecords(m wire.Message, now time.Time) (changed bool) {
	for _, err := range m.Refused {
		r.cfg.Refusals.Add(refusal.ReasonMalformed, "from "+m.From+": "+err.Error())
	}
	for _, record := range m.Records {
		if record.Host == r.cfg.Self.Host {
			r.ownVersionSeen(record.Version)
			continue
		}
		if r.acceptRecord(record, now) {
			r.stats.Records++
			changed = true
			// Several records are what this host has missed, and no news to the others.
			if len(m.Records) == 1 {
				r.out.gossipDigest(wire.Digest{Host: record.Host, Version: record.Version, Age: record.Age})
			}
		}
	}
	return changed
}

// handleDelta applies a change that a host made to its own record. If its base is not here, the
// whole record is requested.
func (r *Replica) handleDelta(m wire.Message, from Peer, now time.Time) (changed bool) {
	d := wire.Digest{Host: m.From, Version: m.Delta.Version}
	if m.From == r.cfg.Self.Host || !r.wantsVersion(d) {
		return false
	}
	e, known := r.entries[m.From]
	if known && e.isVisible() && e.Version == m.Delta.Base {
		next, err := m.Delta.Apply(e.Record)
		if err != nil {
			r.cfg.Refusals.Add(refusal.ReasonMalformed, "from "+m.From+": "+err.Error())
		} else if r.acceptRecord(wire.AgedRecord{Record: next}, now) {
			r.stats.Deltas++
			r.out.gossipDigest(d)
			return true
		}
	}
	if r.requests.start(d, now) {
		r.sendRequest(from, []string{m.From})
	}
	return false
}

// acceptRecord stores a record in the table, unless it is refused or no news.
func (r *Replica) acceptRecord(record wire.AgedRecord, now time.Time) bool {
	for _, m := range record.Memberships {
		if !r.cfg.Permits(m.VTEP) {
			r.cfg.Refusals.Add(refusal.ReasonUnlisted, "VTEP "+m.VTEP.String()+" of "+record.Host)
			return false
		}
	}
	if !r.hasRoomFor(record.Record) {
		r.cfg.Refusals.Add(refusal.ReasonMalformed, "record of "+record.Host+": the hosts have announced too much already")
		return false
	}
	if !r.putRecord(record, now) {
		return false
	}
	r.requests.finish(record.Host, record.Version)
	r.answerClaims(now)
	r.checkClaims()
	return true
}

// pendingRequests are for records that have not come yet, by the host whose record it is.
type pendingRequests map[string]request

// request is one of the pending requests.
type request struct {
	version wire.Version
	expires time.Time // when to ask another host
	tries   int
}

// requestTimeout is what an answer may take on a LAN, with a stream to be opened and a busy sender.
// Where few records are missing they come in a packet, and one that is lost is asked for soon: a
// host that has just joined waits for it. After maxTries the comparison of hashes takes over.
const (
	requestTimeout    = 500 * time.Millisecond
	fewRequests       = 16
	fewRequestsExpire = 200 * time.Millisecond
	maxTries          = 20
)

// expiry returns when to ask again for a record.
func (p pendingRequests) expiry(now time.Time) time.Time {
	if len(p) <= fewRequests {
		return now.Add(fewRequestsExpire)
	}
	return now.Add(requestTimeout)
}

// start notes that a record is requested. It returns false if that version is already on its way.
func (p pendingRequests) start(d wire.Digest, now time.Time) bool {
	q, pending := p[d.Host]
	if pending && q.version.Compare(d.Version) >= 0 && now.Before(q.expires) {
		return false
	}
	p[d.Host] = request{version: d.Version, expires: p.expiry(now)}
	return true
}

// finish notes that a version of a record has come.
func (p pendingRequests) finish(host string, v wire.Version) {
	if q, pending := p[host]; pending && q.version.Compare(v) <= 0 {
		delete(p, host)
	}
}

// sendRequest asks a host for records, if there are any to ask for.
func (r *Replica) sendRequest(to Peer, hosts []string) {
	if len(hosts) == 0 {
		return
	}
	r.stats.Requested += uint64(len(hosts))
	r.out.sendMessage(to, wire.Message{Kind: wire.KindRequest, Hosts: hosts})
}

// RetryRequests asks again for records that did not come. It asks a random member first, as all
// have most records, then the owner, and so on in turn. The owner may just have died, and any other
// may have missed the record too.
func (r *Replica) RetryRequests(now time.Time) {
	if len(r.requests) == 0 {
		return
	}
	members := r.out.network.Members()
	var hosts []string
	for host, q := range r.requests {
		if now.Before(q.expires) {
			continue
		}
		q.tries++
		if q.tries > maxTries || len(members) == 0 || !r.wantsVersion(wire.Digest{Host: host, Version: q.version}) {
			delete(r.requests, host)
			continue
		}
		q.expires = r.requests.expiry(now)
		r.requests[host] = q
		owner := slices.IndexFunc(members, func(p Peer) bool { return p.Host == host })
		if owner >= 0 && q.tries%2 == 0 {
			r.sendRequest(members[owner], []string{host})
		} else {
			hosts = append(hosts, host)
		}
	}
	if len(members) > 0 {
		r.sendRequest(members[rand.N(len(members))], hosts)
	}
}

// SendSummary sends a hash of what this host knows to a random member.
func (r *Replica) SendSummary(now time.Time) {
	if members := r.out.network.Members(); len(members) > 0 {
		r.out.sendMessage(members[rand.N(len(members))], wire.Message{Kind: wire.KindSummary, Hash: wire.HashDigests(r.allDigests(now))})
	}
}

// AwaitsRecords tells whether records that others have were requested, and have not come yet.
func (r *Replica) AwaitsRecords() bool { return len(r.requests) > 0 }

// messenger sends messages in this host's name.
type messenger struct {
	self    Peer
	network Network
}

// encodeMessage puts this host's name and address on a message.
func (s messenger) encodeMessage(m wire.Message) []byte {
	m.Format, m.From, m.Addr = s.network.Format(), s.self.Host, s.self.Addr
	return m.Encode()
}

func (s messenger) sendMessage(to Peer, m wire.Message) { s.network.Send(to, s.encodeMessage(m)) }

func (s messenger) sendToAll(message []byte) {
	for _, p := range s.network.Members() {
		s.network.Send(p, message)
	}
}

func (s messenger) gossipDigest(d wire.Digest) {
	s.network.Gossip(d.Host, s.encodeMessage(wire.Message{Kind: wire.KindDigests, Digests: []wire.Digest{d}}))
}
