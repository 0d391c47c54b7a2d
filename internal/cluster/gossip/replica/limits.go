package replica

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// Limits are what all hosts together may announce.
type Limits struct{ Hosts, Endpoints, Bytes int }

// DefaultLimits is 1,000 hosts with 100 containers each. At 260 bytes in memory and 130 on the wire,
// 100,000 endpoints are 39 MB. What this version does not know counts in bytes only. The digests of
// all hosts and of one more fit a message.
var DefaultLimits = Limits{Hosts: wire.MaxHosts - 1, Endpoints: 100_000, Bytes: 32 << 20}

// share is what one record takes of the limits.
type share struct {
	wire.Key
	rank      int
	endpoints int
	bytes     int
}

// The ranks of records. What hosts that are there say comes before what is only remembered.
const (
	rankReachable = iota
	rankUnreachable
	rankGone // of a host that left or is forgotten, of which only the version is kept
)

// compare orders shares by who comes first.
func (s share) compare(o share) int {
	return cmp.Or(cmp.Compare(s.rank, o.rank), s.Key.Compare(o.Key))
}

// exclude returns the records for which there is no room, and the limit that each is above. Hosts
// that know the same records of the same hosts exclude the same ones, in whatever order they heard of
// them: who is not reachable first, then the higher keys. A record that is too large leaves room for
// smaller ones.
func (l Limits) exclude(shares []share) map[wire.Key]string {
	slices.SortFunc(shares, share.compare)
	excluded := make(map[wire.Key]string)
	var used Limits
	for _, s := range shares {
		switch {
		case s.rank == rankGone:
			continue // takes no room
		case used.Hosts+1 > l.Hosts:
			excluded[s.Key] = fmt.Sprintf("%d hosts", l.Hosts)
			continue
		case used.Endpoints+s.endpoints > l.Endpoints:
			excluded[s.Key] = fmt.Sprintf("%d containers", l.Endpoints)
			continue
		case used.Bytes+s.bytes > l.Bytes:
			excluded[s.Key] = fmt.Sprintf("%d bytes of records", l.Bytes)
			continue
		}
		used.Hosts, used.Endpoints, used.Bytes = used.Hosts+1, used.Endpoints+s.endpoints, used.Bytes+s.bytes
	}
	return excluded
}

func (e *entry) share() share {
	s := share{Key: e.Key, rank: rankReachable, endpoints: e.endpoints, bytes: e.size}
	switch {
	case e.Left || e.forgotten:
		s.rank = rankGone
	case !e.goneSince.IsZero():
		s.rank = rankUnreachable
	}
	return s
}

func (o *ownRecord) share() share {
	return share{Key: o.host, endpoints: countEndpoints(o.published.Memberships), bytes: len(o.published.Raw)}
}

// hasRoomForHost tells whether an unknown host would be remembered. There is room, or another one
// has to go first.
func (t *table) hasRoomForHost(host wire.Key) bool {
	if len(t.entries) < t.limits.Hosts {
		return true
	}
	s := share{Key: host, rank: rankUnreachable}
	if t.present[host] {
		s.rank = rankReachable
	}
	return s.compare(t.lastShare()) < 0
}

// lastShare returns who has to go first.
func (t *table) lastShare() (last share) {
	for _, e := range t.entries {
		if s := e.share(); last.Key == (wire.Key{}) || s.compare(last) > 0 {
			last = s
		}
	}
	return last
}

// forgetSurplusHost forgets a host if there are too many.
func (t *table) forgetSurplusHost() {
	if len(t.entries) > t.limits.Hosts {
		host := t.lastShare().Key
		t.countAddrs(t.entries[host].Memberships, -1)
		delete(t.entries, host)
		t.changed[host] = true
	}
}

// applyLimits leaves out the records for which there is no room, and requests those for which there
// is again. It tells whether the snapshot changed. This host's own record counts like the others, so
// it knows whether they leave it out.
func (r *Replica) applyLimits(now time.Time) (changed bool) {
	if len(r.excluded) == 0 && !r.areLimitsReached() {
		return false
	}
	shares := []share{r.own.share()}
	for _, e := range r.entries {
		shares = append(shares, e.share())
	}
	r.excluded = r.limits.exclude(shares)
	for host, e := range r.entries {
		isExcluded := r.excluded[host] != ""
		if e.excluded == isExcluded {
			continue
		}
		e.excluded, changed = isExcluded, true
		if r.changed[host] = true; isExcluded {
			r.countAddrs(e.Memberships, -1)
			e.Memberships, e.Raw, e.dropped = nil, nil, true
		} else {
			r.requestDropped(e, now)
		}
	}
	return changed
}

// areLimitsReached tells whether there is not room for all records.
func (r *Replica) areLimitsReached() bool {
	own := r.own.share()
	isTooMuch := func(l Limits) bool {
		return l.Hosts+1 > r.limits.Hosts || l.Endpoints+own.endpoints > r.limits.Endpoints ||
			l.Bytes+own.bytes > r.limits.Bytes
	}
	if !isTooMuch(r.taken) {
		return false
	}
	r.taken = r.countTaken()
	return isTooMuch(r.taken)
}

// countTaken returns what all entries take.
func (t *table) countTaken() (l Limits) {
	for _, e := range t.entries {
		l.count(e, 1)
	}
	return l
}

// count adds what an entry takes, so many times.
func (l *Limits) count(e *entry, times int) {
	if e.isVisible() {
		l.Hosts += times
	}
	l.Endpoints += times * e.endpoints
	l.Bytes += times * e.size
}

// requestDropped requests a record for which there was no room before.
func (r *Replica) requestDropped(e *entry, now time.Time) {
	if !r.requests.start(e.digestAt(now), true, now) {
		return
	}
	if members := r.out.network.Members(); r.present[e.Key] {
		r.requests.send(e.Key, []wire.Key{e.Key})
	} else if len(members) > 0 {
		r.requests.send(members[0], []wire.Key{e.Key})
	}
}

// Forget forgets hosts that have been gone for too long, and applies the limits to the others. It
// tells whether the snapshot changed.
func (r *Replica) Forget(now time.Time) (changed bool) {
	changed = r.table.Forget(now)
	return r.applyLimits(now) || changed
}

// Exclusion says who is left out for lack of room.
type Exclusion struct {
	Limit string // that was reached
	// Self tells that it is this host, of which the others know nothing therefore.
	Self  bool
	Hosts []string // the other ones, as people know them
}

// Exclusions returns who is left out, by limit.
func (r *Replica) Exclusions() (all []Exclusion) {
	byLimit := make(map[string]*Exclusion)
	for host, limit := range r.excluded {
		x := byLimit[limit]
		if x == nil {
			x = &Exclusion{Limit: limit}
			byLimit[limit] = x
		}
		if host == r.cfg.Self {
			x.Self = true
		} else {
			x.Hosts = append(x.Hosts, r.Label(host))
		}
	}
	for _, x := range byLimit {
		slices.Sort(x.Hosts)
		all = append(all, *x)
	}
	slices.SortFunc(all, func(a, b Exclusion) int { return cmp.Compare(a.Limit, b.Limit) })
	return all
}
