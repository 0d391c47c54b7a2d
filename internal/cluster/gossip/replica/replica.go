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
	*table   // the other hosts' records
	own      ownRecord
	requests pendingRequests
	asked    ackRequests
	waits    ackWaits
	out      messenger
	excluded map[wire.Key]string // records for which there is no room, this host's included, and which limit they are above
	tookOut  map[wire.Key]int    // strays that this host took out, and how often it will say so
	strays   chan struct{}

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
		table:           newTable(c.ForgetAfter, cmp.Or(c.Limits, DefaultLimits)),
		own:             ownRecord{host: c.Self},
		requests:        newPendingRequests(),
		asked:           ackRequests{pending: make(map[wire.Key]wire.Version), requested: make(chan struct{}, 1)},
		waits:           make(ackWaits),
		claims:          make(map[ClaimKey]*addressClaim),
		claimWaits:      make(map[*ClaimWait]bool),
		claimsAsked:     make(claimsAsked),
		out:             messenger{c.Self, c.Network, newNews()},
		tookOut:         make(map[wire.Key]int),
		strays:          make(chan struct{}, 1),
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
		r.waits.handleAck(m.From, m.Version)
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
	r.sendRequest(m.From, missing)
	var newer []wire.Digest
	for _, d := range r.digestsToCompare(m, now) {
		if v, listed := theirs[d.Key]; (m.Complete || listed) && (!listed || d.Version.Replaces(v, r.cfg.Self.SpeaksFor(d.Key))) {
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

func (r *Replica) handleRecords(m wire.Message, now time.Time) (changed bool) {
	for _, err := range m.Refused {
		r.cfg.Refusals.Add(refusal.ReasonMalformed, "from "+m.From.String()+": "+err.Error())
	}
	for _, record := range m.Records {
		if record.Key == r.cfg.Self {
			r.ownVersionSeen(record.Version)
			continue
		}
		if r.acceptRecord(record, m.From.SpeaksFor(record.Key), now) {
			r.stats.Records++
			changed = true
			if record.Left && m.From != record.Key && r.present[record.Key] {
				// It was taken out by another host. If it lives, it puts its record back.
				r.sendToOwner(wire.Digest{Key: record.Key, Version: record.Version, Age: record.Age})
			}
			// Several records are what this host has missed, and no news to the others.
			if len(m.Records) == 1 {
				r.out.gossipDigest(wire.Digest{Key: record.Key, Version: record.Version, Age: record.Age})
			}
		}
	}
	return changed
}

// handleDelta applies a change that a host made to its own record. If its base is not here, the
// whole record is requested.
func (r *Replica) handleDelta(m wire.Message, now time.Time) (changed bool) {
	d := wire.Digest{Key: m.From, Version: m.Delta.Version}
	if m.From == r.cfg.Self || !r.wantsVersion(d, true) {
		return false
	}
	e, known := r.entries[m.From]
	if known && e.isVisible() && e.Version == m.Delta.Base {
		next, err := m.Delta.Apply(e.Record)
		if err != nil {
			r.cfg.Refusals.Add(refusal.ReasonMalformed, "from "+m.From.String()+": "+err.Error())
		} else if r.acceptRecord(wire.AgedRecord{Record: next}, true, now) {
			r.stats.Deltas++
			r.out.gossipDigest(d)
			return true
		}
	}
	if r.requests.start(d, true, now) {
		r.sendRequest(m.From, []wire.Key{m.From})
	}
	return false
}

// acceptRecord stores a record in the table, unless it is refused or no news. fromOwner tells that
// whoever sent it decides what it says.
func (r *Replica) acceptRecord(record wire.AgedRecord, fromOwner bool, now time.Time) bool {
	for _, m := range record.Memberships {
		if !r.cfg.Permits(m.VTEP) {
			r.cfg.Refusals.Add(refusal.ReasonUnlisted, "VTEP "+m.VTEP.String()+" of "+describe(record.Record))
			r.requests.finish(record.Key, record.Version) // others would send the same
			return false
		}
	}
	if record.ForgottenBy != "" && r.present[record.Key] {
		// It was forgotten where it could not be reached. It says soon itself that it is here.
		r.requests.finish(record.Key, record.Version)
		r.sendToOwner(wire.Digest{Key: record.Key, Version: record.Version, Age: record.Age})
		return false
	}
	if record.ForgottenBy != "" && !fromOwner && r.wasJustLost(record.Key, now) {
		r.requests.start(wire.Digest{Key: record.Key, Version: record.Version, Age: record.Age}, false, now)
		return false
	}
	if r.cfg.Share != nil {
		record.Record = r.cfg.Share(record.Record)
	}
	if !r.putRecord(record, fromOwner, now) {
		return false
	}
	r.requests.finish(record.Key, record.Version)
	r.applyLimits(now)
	r.answerClaims(now)
	r.checkClaims()
	r.reportStray(record.Key)
	return true
}

// justLost is how long a host may take to deny that it is unreachable. When two halves of a network
// meet again, each tells the other at first that its hosts are.
const justLost = 2 * time.Second

// wasJustLost tells whether a host became unreachable a moment ago, which may be a mistake.
func (r *Replica) wasJustLost(host wire.Key, now time.Time) bool {
	e, known := r.entries[host]
	return known && !e.Left && !e.goneSince.IsZero() && now.Sub(e.goneSince) < justLost
}

// describe says for a person whose record it is.
func describe(r wire.Record) string {
	return cluster.Host{Name: r.Name, Addr: r.Addr.Addr()}.Label()
}

// pendingRequests are for records that have not come yet.
type pendingRequests struct {
	byHost map[wire.Key]request // the host whose record it is
	// began has a value when there is a request after there was none.
	began chan struct{}
}

func newPendingRequests() pendingRequests {
	return pendingRequests{byHost: make(map[wire.Key]request), began: make(chan struct{}, 1)}
}

// request is one of the pending requests.
type request struct {
	version   wire.Version
	fromOwner bool      // the owner said that it has this version
	expires   time.Time // when to ask another host
	tries     int
}

// requestTimeout is what an answer may take on a LAN, with a stream to be opened and a busy sender.
// Where few records are missing they come in a packet, and one that is lost is asked for soon: a
// host that has just joined waits for it. After maxTries, which are four seconds then, the comparison
// of hashes takes over. Where 30 % of the packets are lost and most members have died, the half of the
// tries that go to the owner fail in one of 700,000 cases.
const (
	requestTimeout    = 500 * time.Millisecond
	fewRequests       = 16
	fewRequestsExpire = 100 * time.Millisecond
	maxTries          = 40
)

// expiry returns when to ask again for a record.
func (p pendingRequests) expiry(now time.Time) time.Time {
	if len(p.byHost) <= fewRequests {
		return now.Add(fewRequestsExpire)
	}
	return now.Add(requestTimeout)
}

// start notes that a record is requested. It returns false if that version is already on its way, or
// a later one, unless the owner itself says that it is another one.
func (p pendingRequests) start(d wire.Digest, fromOwner bool, now time.Time) bool {
	q, pending := p.byHost[d.Key]
	if pending && now.Before(q.expires) && (q.version == d.Version || q.version.Compare(d.Version) > 0 && !fromOwner) {
		return false
	}
	if len(p.byHost) == 0 {
		p.wake()
	}
	p.byHost[d.Key] = request{version: d.Version, fromOwner: fromOwner, expires: p.expiry(now)}
	return true
}

// wake makes Retry be called.
func (p pendingRequests) wake() {
	select {
	case p.began <- struct{}{}:
	default: // nobody has noticed yet that there was something before
	}
}

// finish notes that a version of a record has come.
func (p pendingRequests) finish(host wire.Key, v wire.Version) {
	if q, pending := p.byHost[host]; pending && q.version.Compare(v) <= 0 {
		delete(p.byHost, host)
	}
}

// sendRequest asks a host for records, if there are any to ask for.
func (r *Replica) sendRequest(to wire.Key, hosts []wire.Key) {
	if len(hosts) == 0 {
		return
	}
	r.stats.Requested += uint64(len(hosts))
	r.out.sendMessage(to, wire.Message{Kind: wire.KindRequest, Hosts: hosts})
}

// Retry repeats what may have been lost: requests for records, and that records were taken out. It
// tells whether something is still pending.
func (r *Replica) Retry(now time.Time) (pending bool) {
	pending = r.sendTakenOut(now)
	r.RetryRequests(now)
	return pending || len(r.requests.byHost) > 0
}

// RequestsBegan returns a channel that has a value when Retry should be called until it says that
// nothing is pending.
func (r *Replica) RequestsBegan() <-chan struct{} { return r.requests.began }

// RetryRequests asks again for records that did not come. It asks a random member first, as all
// have most records, then the owner, and so on in turn. The owner may just have died, and any other
// may have missed the record too.
func (r *Replica) RetryRequests(now time.Time) {
	if len(r.requests.byHost) == 0 {
		return
	}
	members := r.out.network.Members()
	var hosts []wire.Key
	for host, q := range r.requests.byHost {
		if now.Before(q.expires) {
			continue
		}
		q.tries++
		if q.tries > maxTries || len(members) == 0 || !r.wantsVersion(wire.Digest{Key: host, Version: q.version}, q.fromOwner) {
			delete(r.requests.byHost, host)
			continue
		}
		q.expires = r.requests.expiry(now)
		r.requests.byHost[host] = q
		if q.tries%2 == 0 && r.present[host] {
			r.sendRequest(host, []wire.Key{host})
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
		r.out.sendMessage(members[rand.N(len(members))], wire.Message{Kind: wire.KindSummary, Hash: r.summary()})
	}
}

// AwaitsRecords tells whether records that others have were requested, and have not come yet.
func (r *Replica) AwaitsRecords() bool { return len(r.requests.byHost) > 0 }

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
