package gossip

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// publishInterval is the least time between two versions of this host's record.
// A single container start is sent at once; of a hundred within a second, at
// most fifty packets go to each member.
const publishInterval = 20 * time.Millisecond

func (s *Source) publishLoop(ctx context.Context) {
	for {
		select {
		case <-s.publish:
			s.publishNow()
			pause(ctx, publishInterval)
		case <-ctx.Done():
			return
		}
	}
}

// publishNow raises the version of this host's record, if there is something new
// to say, and sends it to all members.
func (s *Source) publishNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.dirty || !s.isSet || s.leaving {
		return
	}
	s.dirty = false
	sum := contentSum(false, s.wanted)
	if s.own.version.sum == sum && s.own.version.compare(s.seen) >= 0 {
		return // Set was repeated
	}
	if s.own.version.isZero() && s.seen.sum == sum {
		// This agent's predecessor said the same, and the others have it.
		s.own = record{name: s.cfg.Name, version: s.seen, attachments: s.wanted}
		return
	}
	next := record{name: s.cfg.Name, version: s.own.version.after(s.seen, sum), attachments: s.wanted}
	data := s.announcement(next)
	s.own = next
	s.counters.count(func(st *Stats) { st.Published++ })
	s.queueDigestLocked(digest{name: next.name, version: next.version})
	for _, m := range s.members {
		s.sendLocked(m, data)
	}
}

// encode puts this host's name and address on a message.
func (s *Source) encode(m message) []byte {
	m.from, m.addr = s.cfg.Name, s.cfg.Bind
	return m.encode()
}

// announcement returns the smaller of the delta and the whole record.
func (s *Source) announcement(next record) []byte {
	var d []byte
	if !s.own.version.isZero() {
		if d = s.encode(message{kind: kindDelta, delta: diff(s.own, next)}); len(d) <= s.size {
			return d
		}
	}
	whole := s.encode(message{kind: kindRecords, records: []held{{record: next}}})
	if d != nil && len(d) < len(whole) {
		return d
	}
	return whole
}

// ownLocked takes note that others hold a version of this host's record.
func (s *Source) ownLocked(v version) {
	if v.compare(s.seen) > 0 {
		s.seen = v
	}
	if s.own.version.isZero() || s.own.version.compare(v) >= 0 {
		return // publishNow goes above seen; or the others are behind
	}
	if s.own.version.sum == v.sum {
		s.own.version = v // left by this agent's predecessor, and the same
		s.queueDigestLocked(digest{name: s.cfg.Name, version: v})
		return
	}
	s.dirty = true
	wake(s.publish)
}

// digestsLocked returns what this host can hand on, its own record included.
func (s *Source) digestsLocked() []digest {
	all := s.table.digests(time.Now())
	if !s.own.version.isZero() {
		all = append(all, digest{name: s.cfg.Name, version: s.own.version})
		slices.SortFunc(all, func(a, b digest) int { return cmp.Compare(a.name, b.name) })
	}
	return all
}
