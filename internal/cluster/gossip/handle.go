package gossip

import (
	"errors"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"
)

// ask is a record that was asked for and has not come yet.
type ask struct {
	version version
	until   time.Time // when to ask somebody else
	tries   int
}

// askTimeout is what an answer may take in a LAN, with a stream to be opened and
// the sender busy. After maxTries the comparisons of hashes take over.
const (
	askTimeout = 500 * time.Millisecond
	maxTries   = 4
)

// receive takes a message of ours from the network.
func (s *Source) receive(data []byte) {
	m, err := decode(data)
	switch {
	case errors.Is(err, errVersion):
		s.counters.refuse(wrongVersion, err.Error())
		return
	case err != nil:
		s.counters.refuse(malformed, err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from, member := s.members[m.from]
	if !member || addrOfNode(from) != m.addr {
		from = memberlist.Node{Name: m.from, Addr: m.addr.Addr().AsSlice(), Port: m.addr.Port()}
		if !s.strangerLocked(m.addr) || m.kind != kindWant {
			return
		}
	}
	s.handleLocked(m, from)
}

// strangerLocked remembers where to find the sender of a message that is no
// member, or not where the member of its name is, and tells whether it may be
// answered. Usually the news that it is one is only late: a host that joins asks
// for the records before the other end of the join has taken it in. Nothing but
// that question is heard from it, or two hosts of one name would outbid each
// other's versions for ever.
func (s *Source) strangerLocked(addr netip.AddrPort) bool {
	s.counters.count(func(st *Stats) { st.UnknownSenders++ })
	if addr == s.cfg.Bind || !s.permitsLocked(addr.Addr()) {
		return false
	}
	if len(s.strangers) < seekAtOne {
		s.strangers[addr] = true
		wake(s.seek)
	}
	return true
}

// addrOfNode returns where a member listens.
func addrOfNode(n memberlist.Node) netip.AddrPort {
	addr, _ := netip.AddrFromSlice(n.Addr) // NotifyAlive has checked it
	return netip.AddrPortFrom(addr.Unmap(), n.Port)
}

func (s *Source) handleLocked(m message, from memberlist.Node) {
	switch m.kind {
	case kindDigests:
		s.handleDigests(m, from)
	case kindWant:
		s.handleWant(m, from)
	case kindRecords:
		s.handleRecords(m)
	case kindDelta:
		s.handleDelta(m, from)
	case kindSummary:
		if all := s.digestsLocked(); hash(all) != m.hash {
			s.sendLocked(from, s.encode(message{kind: kindDigests, full: true, digests: all}))
		}
	}
}

// handleDigests asks for what is newer there, and tells what is newer here: all
// of it if the sender listed all that it has, else only to a record's owner, who
// must know that it has to go above what an earlier life of it left.
func (s *Source) handleDigests(m message, from memberlist.Node) {
	now := time.Now()
	theirs := make(map[string]version, len(m.digests))
	var names []string
	for _, d := range m.digests {
		theirs[d.name] = d.version
		if d.name == s.cfg.Name {
			s.ownLocked(d.version)
		} else if s.table.wants(d) && s.mayAsk(d, now) {
			names = append(names, d.name)
		}
	}
	s.askLocked(from, names)
	var newer []digest
	for _, d := range s.digestsLocked() {
		v, listed := theirs[d.name]
		if (m.full || listed && d.name == m.from) && d.version.compare(v) > 0 {
			newer = append(newer, d)
		}
	}
	if len(newer) > 0 {
		s.sendLocked(from, s.encode(message{kind: kindDigests, digests: newer}))
	}
}

// mayAsk tells whether a record is not being waited for, and notes that it is.
func (s *Source) mayAsk(d digest, now time.Time) bool {
	a, waiting := s.asked[d.name]
	if waiting && a.version.compare(d.version) >= 0 && now.Before(a.until) {
		return false
	}
	s.asked[d.name] = ask{version: d.version, until: now.Add(askTimeout)}
	return true
}

func (s *Source) askLocked(whom memberlist.Node, names []string) {
	if len(names) == 0 {
		return
	}
	s.counters.count(func(st *Stats) { st.Requested += uint64(len(names)) })
	s.sendLocked(whom, s.encode(message{kind: kindWant, names: names}))
}

// batch is where a new message is begun. The largest record on top of it stays
// within maxMessage.
const batch = maxMessage - maxRecord - 64<<10

// handleWant sends records, several in a message.
func (s *Source) handleWant(m message, from memberlist.Node) {
	now := time.Now()
	var records []held
	size := 0
	flush := func() {
		if len(records) > 0 {
			s.sendLocked(from, s.encode(message{kind: kindRecords, records: records}))
		}
		records, size = nil, 0
	}
	for _, name := range m.names {
		h, have := s.table.held(name, now)
		if name == s.cfg.Name && !s.own.version.isZero() {
			h, have = held{record: s.own}, true
		}
		if !have {
			continue
		}
		var w writer
		w.held(h)
		records, size = append(records, h), size+len(w.buf)
		if size > batch {
			flush()
		}
	}
	flush()
}

func (s *Source) handleRecords(m message) {
	changed := false
	for _, h := range m.records {
		if h.name == s.cfg.Name {
			s.ownLocked(h.version)
			continue
		}
		if s.takeLocked(h) {
			s.counters.count(func(st *Stats) { st.Records++ })
			changed = true
			// Several records are what this host has missed, and no news to the others.
			if len(m.records) == 1 {
				s.queueDigestLocked(digest{name: h.name, version: h.version, age: h.age})
			}
		}
	}
	if changed {
		s.showLocked()
	}
}

// handleDelta applies what a host changed in its own record. If what it was made
// from is not here, the whole record is asked for.
func (s *Source) handleDelta(m message, from memberlist.Node) {
	d := digest{name: m.from, version: m.delta.version}
	if m.from == s.cfg.Name || !s.table.wants(d) {
		return
	}
	e, known := s.table.entries[m.from]
	if known && e.shown() && e.version == m.delta.base {
		next, err := m.delta.apply(e.record)
		if err != nil {
			s.counters.refuse(malformed, "from "+m.from+": "+err.Error())
		} else if s.takeLocked(held{record: next}) {
			s.counters.count(func(st *Stats) { st.Deltas++ })
			s.queueDigestLocked(d)
			s.showLocked()
			return
		}
	}
	if s.mayAsk(d, time.Now()) {
		s.askLocked(from, []string{m.from})
	}
}

// takeLocked puts a record in the table.
func (s *Source) takeLocked(h held) bool {
	for _, a := range h.attachments {
		if !s.permitsLocked(a.VTEP) {
			s.counters.refuse(unlisted, "VTEP "+a.VTEP.String()+" of "+h.name)
			return false
		}
	}
	if !s.table.fits(h.record) {
		s.counters.refuse(malformed, "record of "+h.name+": there are too many endpoints already")
		return false
	}
	if !s.table.put(h, time.Now()) {
		return false
	}
	if a, waiting := s.asked[h.name]; waiting && a.version.compare(h.version) <= 0 {
		delete(s.asked, h.name)
	}
	return true
}

// gossiped is a digest in memberlist's queue.
type gossiped struct {
	name string
	data []byte
}

// queueDigestLocked has gossip pass a digest on.
func (s *Source) queueDigestLocked(d digest) {
	s.queue.QueueBroadcast(gossiped{name: d.name, data: s.encode(message{kind: kindDigests, digests: []digest{d}})})
}

// Name makes a newer digest take an older one's place.
func (g gossiped) Name() string { return g.name }

// Invalidates is not asked where there is a Name.
func (g gossiped) Invalidates(memberlist.Broadcast) bool { return false }

// Message returns the digest as it is sent.
func (g gossiped) Message() []byte { return g.data }

// Finished is told that the digest was sent often enough.
func (g gossiped) Finished() {}
