package replica

import (
	"net/netip"
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// table holds the records of the other hosts. It does no I/O and has neither a lock nor a clock:
// callers say what time it is.
type table struct {
	forgetAfter time.Duration
	limits      Limits
	entries     map[wire.Key]*entry
	present     map[wire.Key]bool // hosts that are reachable
	changes     uint64            // records that were stored
	// inUse counts in how many places of the records an address is, on whatever network. So it is
	// known at once of most addresses that nobody has them.
	inUse map[netip.Addr]int
	// taken is at least what all entries take of the limits. What an entry takes grows only when it is
	// replaced.
	taken Limits

	snapshot cluster.Snapshot
	shown    map[wire.Key]cluster.Host // the hosts of the snapshot
	changed  map[wire.Key]bool         // hosts that are not as in the snapshot
}

// entry is what is known of one host.
type entry struct {
	wire.Record
	// sequence is that of the first snapshot that has the record.
	sequence  uint64
	hash      uint64 // of the digest
	endpoints int    // number of them
	size      int    // of the content, bytes
	// goneSince is when the host became unreachable or, if the record says so, when it left. Zero
	// while it is reachable.
	goneSince time.Time
	// forgotten is set when the memberships were dropped, as the host was unreachable for too long.
	// The version stays for as long again. Otherwise hosts that forget a little later would bring
	// the record back.
	forgotten bool
	// excluded is set while there is no room for the record. Its memberships are dropped then, and
	// requested when there is room again. Its version is kept, so that nobody offers it again.
	excluded, dropped bool
}

func newTable(forgetAfter time.Duration, l Limits) *table {
	return &table{
		forgetAfter: forgetAfter, limits: l, entries: make(map[wire.Key]*entry), present: make(map[wire.Key]bool),
		inUse: make(map[netip.Addr]int), shown: make(map[wire.Key]cluster.Host), changed: make(map[wire.Key]bool),
	}
}

// isVisible tells whether the entry is part of the snapshot.
func (e *entry) isVisible() bool { return !e.Left && !e.forgotten && !e.dropped }

func (e *entry) digestAt(now time.Time) wire.Digest {
	return wire.Digest{Key: e.Key, Version: e.Version, Age: e.ageAt(now)}
}

func (e *entry) ageAt(now time.Time) wire.Age {
	if e.goneSince.IsZero() {
		return 0
	}
	return max(1, wire.Age(now.Sub(e.goneSince)))
}

func countEndpoints(memberships []cluster.Membership) (n int) {
	for _, m := range memberships {
		n += len(m.Endpoints)
	}
	return n
}

// wantsVersion tells whether a record of this version is news.
//
// A record of a host that has been gone for too long is not wanted: whoever still offers it will
// forget it soon. For the same reason the record that a host left need not be kept for longer than
// ForgetAfter. A host that missed the leave was cut off before it, and so has forgotten the host by
// then.
func (t *table) wantsVersion(d wire.Digest, fromOwner bool) bool {
	if !t.present[d.Key] && time.Duration(d.Age) >= t.forgetAfter {
		return false
	}
	e, known := t.entries[d.Key]
	if !known {
		return t.hasRoomForHost(d.Key)
	}
	if d.Version == e.Version {
		return e.forgotten && t.present[d.Key] || e.dropped && !e.excluded
	}
	return d.Version.Replaces(e.Version, fromOwner)
}

// putRecord stores a record, and tells whether it was news.
func (t *table) putRecord(r wire.AgedRecord, fromOwner bool, now time.Time) bool {
	if !t.wantsVersion(wire.Digest{Key: r.Key, Version: r.Version, Age: r.Age}, fromOwner) {
		return false
	}
	t.changes++
	if before, known := t.entries[r.Key]; known {
		t.recountAddrs(before.Memberships, r.Memberships)
		t.taken.count(before, -1)
	} else {
		t.countAddrs(r.Memberships, 1)
	}
	e := &entry{Record: r.Record, sequence: t.changes, endpoints: countEndpoints(r.Memberships), size: len(r.Raw)}
	e.hash = e.digestAt(now).Hash()
	if r.Left || !t.present[r.Key] {
		e.goneSince = now.Add(-time.Duration(r.Age))
	}
	t.entries[r.Key] = e
	t.taken.count(e, 1)
	t.changed[r.Key] = true
	t.forgetSurplusHost()
	return true
}

// recountAddrs counts the addresses of a record that replaces another one. Mostly few of the containers
// differ, and they are next to each other.
func (t *table) recountAddrs(before, now []cluster.Membership) {
	for len(before) > 0 && len(now) > 0 {
		b, n := before[0], now[0] // copies
		b.Endpoints, n.Endpoints = withoutCommonAddrs(b.Endpoints, n.Endpoints)
		t.countAddrs([]cluster.Membership{n}, 1)
		t.countAddrs([]cluster.Membership{b}, -1)
		before, now = before[1:], now[1:]
	}
	t.countAddrs(now, 1)
	t.countAddrs(before, -1)
}

// withoutCommonAddrs drops from both lists what has the same addresses at their beginning and at their end.
func withoutCommonAddrs(a, b []cluster.Endpoint) (restA, restB []cluster.Endpoint) {
	for len(a) > 0 && len(b) > 0 && slices.Equal(a[0].Addrs, b[0].Addrs) {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && slices.Equal(a[len(a)-1].Addrs, b[len(b)-1].Addrs) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return a, b
}

// countAddrs counts the addresses of a record that comes or goes.
func (t *table) countAddrs(memberships []cluster.Membership, by int) {
	count := func(addrs []netip.Addr) {
		for _, a := range addrs {
			if t.inUse[a] += by; t.inUse[a] == 0 {
				delete(t.inUse, a)
			}
		}
	}
	for _, m := range memberships {
		count(m.HostAddrs)
		for _, e := range m.Endpoints {
			count(e.Addrs)
		}
	}
}

// MarkPresent notes that a host is reachable, and tells whether that changes the snapshot.
func (t *table) MarkPresent(host wire.Key) bool {
	t.present[host] = true
	e, known := t.entries[host]
	if !known || e.Left || e.goneSince.IsZero() {
		return false
	}
	e.goneSince = time.Time{}
	t.changed[host] = true
	return e.isVisible()
}

// MarkLost notes that a host is unreachable, and tells whether that changes the snapshot.
func (t *table) MarkLost(host wire.Key, now time.Time) bool {
	delete(t.present, host)
	e, known := t.entries[host]
	if !known || e.Left || !e.goneSince.IsZero() {
		return false
	}
	e.goneSince = now
	t.changed[host] = true
	return e.isVisible()
}

// Forget forgets hosts that have been gone for too long, and tells whether that changes the
// snapshot.
func (t *table) Forget(now time.Time) (changed bool) {
	for host, e := range t.entries {
		if e.goneSince.IsZero() {
			continue
		}
		switch gone := now.Sub(e.goneSince); {
		case gone >= t.forgetAfter && e.isVisible():
			t.countAddrs(e.Memberships, -1)
			e.forgotten, e.Memberships, e.Raw, e.endpoints, e.size, changed = true, nil, nil, 0, 0, true
			t.changed[host] = true
		case gone >= t.forgetAfter && e.Left, gone >= 2*t.forgetAfter:
			delete(t.entries, host)
		}
	}
	return changed
}

// Record returns a host's record to pass on, if there is one.
func (t *table) Record(host wire.Key, now time.Time) (wire.AgedRecord, bool) {
	e, known := t.entries[host]
	if !known || e.forgotten || e.dropped {
		return wire.AgedRecord{}, false
	}
	return wire.AgedRecord{Record: e.Record, Age: e.ageAt(now)}, true
}

// listDigests returns what can be passed on, in no order.
func (t *table) listDigests(now time.Time) []wire.Digest {
	all := make([]wire.Digest, 0, len(t.entries)+1) // one more for this host's own
	for _, e := range t.entries {
		if !e.forgotten {
			all = append(all, e.digestAt(now))
		}
	}
	return all
}

// summary returns the sum of the digests of all reachable hosts.
func (t *table) summary() (sum uint64) {
	for _, e := range t.entries {
		if e.goneSince.IsZero() && !e.forgotten {
			sum += e.hash
		}
	}
	return sum
}

// Snapshot returns the visible entries. It costs what has changed since the last call.
func (t *table) Snapshot() cluster.Snapshot {
	for key := range t.changed {
		before, wasShown := t.shown[key]
		delete(t.shown, key)
		e, known := t.entries[key]
		isShown := known && e.isVisible()
		if wasShown && !(isShown && e.host().Compare(before) == 0) {
			t.snapshot = t.snapshot.Without(before)
		}
		if isShown {
			t.shown[key] = e.host()
			t.snapshot = t.snapshot.With(t.shown[key])
		}
	}
	clear(t.changed)
	t.snapshot.Sequence = t.changes
	return t.snapshot
}

func (e *entry) host() cluster.Host {
	return cluster.Host{ID: e.Key.ID, Name: e.Name, Addr: e.Key.Addr.Addr(), Memberships: e.Memberships,
		UnreachableSince: e.goneSince}
}

// HasLeftFrom tells whether a host has left for good that was at an address, and no other is there.
func (t *table) HasLeftFrom(addr netip.Addr) (left bool) {
	for host, e := range t.entries {
		if host.Addr.Addr() == addr && e.isVisible() {
			return false
		}
		left = left || host.Addr.Addr() == addr && e.Left
	}
	return left
}

// HasLeft tells whether a host announced that it leaves the cluster.
func (t *table) HasLeft(host wire.Key) bool {
	e, known := t.entries[host]
	return known && e.Left
}

// MayBeOn tells whether a host announces a membership of a network, or may without it being known
// here: there may be no room for its record.
func (t *table) MayBeOn(host wire.Key, network cluster.NetworkKey) bool {
	e, known := t.entries[host]
	if !known || e.dropped {
		return true
	}
	_, isOn := findNetwork(e.Memberships, network)
	return isOn
}

// Label is how a person knows a host: by its name, as far as that is known, and its address.
func (t *table) Label(host wire.Key) string {
	return cluster.Host{Name: t.NameOf(host), Addr: host.Addr.Addr()}.Label()
}

// NameOf returns the name of a host; "": unknown.
func (t *table) NameOf(host wire.Key) string {
	if e, known := t.entries[host]; known {
		return e.Name
	}
	return ""
}

// Find returns the key of a host of the snapshot.
func (t *table) Find(id cluster.HostID, addr netip.Addr) (wire.Key, bool) {
	for host, e := range t.entries {
		if host.ID == id && host.Addr.Addr() == addr && e.isVisible() {
			return host, true
		}
	}
	return wire.Key{}, false
}

// Knows tells whether a host is part of the snapshot.
func (t *table) Knows(host wire.Key) bool {
	e, known := t.entries[host]
	return known && e.isVisible()
}
