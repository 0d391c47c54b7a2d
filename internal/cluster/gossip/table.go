package gossip

import (
	"cmp"
	"hash/fnv"
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
)

// table is what this host knows of the others. It does no I/O and has no lock
// and no clock: callers say what time it is.
type table struct {
	forgetAfter time.Duration
	entries     map[string]*entry
	present     map[string]bool // hosts that answer
}

// maxTotal bounds the endpoints of all hosts together: 1,000 hosts with 100
// containers each. At 260 bytes an endpoint that is 26 MB.
const maxTotal = 100_000

func endpointCount(attachments []cluster.Membership) (n int) {
	for _, a := range attachments {
		n += len(a.Endpoints)
	}
	return n
}

// fits tells whether there is room for a record.
func (t *table) fits(r record) bool {
	total := endpointCount(r.attachments)
	for name, e := range t.entries {
		if name != r.name {
			total += endpointCount(e.attachments)
		}
	}
	return total <= maxTotal
}

// entry is what is known of one host.
type entry struct {
	record
	// lost is since when the host has been unreachable or, if the record says
	// so, when it left. Zero while it is there.
	lost time.Time
	// forgotten is set when the attachments were dropped because the host was
	// unreachable for too long. The version stays for as long again, so that
	// hosts that counted a little later do not bring it back.
	forgotten bool
}

func newTable(forgetAfter time.Duration) *table {
	return &table{forgetAfter: forgetAfter, entries: make(map[string]*entry), present: make(map[string]bool)}
}

func (e *entry) shown() bool { return !e.left && !e.forgotten }

// wants tells whether a record of this version is news.
//
// A record of a host that is gone is not taken when it is too old: whoever still
// offers it will forget it soon. This is also why the mark that a host left need
// not be kept for longer than ForgetAfter: a host that missed the leave lost
// touch before it, and so has forgotten by then.
func (t *table) wants(d digest) bool {
	if !t.present[d.name] && time.Duration(d.age) >= t.forgetAfter {
		return false
	}
	e, known := t.entries[d.name]
	if !known {
		return len(t.entries) < maxHosts
	}
	if c := d.version.compare(e.version); c != 0 {
		return c > 0
	}
	return e.forgotten && t.present[d.name]
}

// put takes a record and tells whether it was news.
func (t *table) put(h held, now time.Time) bool {
	if !t.wants(digest{name: h.name, version: h.version, age: h.age}) {
		return false
	}
	e := &entry{record: h.record}
	if h.left || !t.present[h.name] {
		e.lost = now.Add(-time.Duration(h.age))
	}
	t.entries[h.name] = e
	return true
}

// joined notes that a host answers, and tells whether that changes what is shown.
func (t *table) joined(name string) bool {
	t.present[name] = true
	e, known := t.entries[name]
	if !known || e.left || e.lost.IsZero() {
		return false
	}
	e.lost = time.Time{}
	return e.shown()
}

// gone notes that a host does not answer any more.
func (t *table) gone(name string, now time.Time) bool {
	delete(t.present, name)
	e, known := t.entries[name]
	if !known || e.left || !e.lost.IsZero() {
		return false
	}
	e.lost = now
	return e.shown()
}

// expire forgets hosts that have been gone for too long.
func (t *table) expire(now time.Time) (changed bool) {
	for name, e := range t.entries {
		if e.lost.IsZero() {
			continue
		}
		switch gone := now.Sub(e.lost); {
		case gone >= t.forgetAfter && e.shown():
			e.forgotten, e.attachments, changed = true, nil, true
		case gone >= t.forgetAfter && e.left, gone >= 2*t.forgetAfter:
			delete(t.entries, name)
		}
	}
	return changed
}

// held returns a record to hand on, if there is one.
func (t *table) held(name string, now time.Time) (held, bool) {
	e, known := t.entries[name]
	if !known || e.forgotten {
		return held{}, false
	}
	return held{record: e.record, age: e.age(now)}, true
}

func (e *entry) age(now time.Time) age {
	if e.lost.IsZero() {
		return 0
	}
	return max(1, age(now.Sub(e.lost)))
}

// digests returns what can be handed on, in order.
func (t *table) digests(now time.Time) []digest {
	var all []digest
	for name, e := range t.entries {
		if !e.forgotten {
			all = append(all, digest{name: name, version: e.version, age: e.age(now)})
		}
	}
	slices.SortFunc(all, func(a, b digest) int { return cmp.Compare(a.name, b.name) })
	return all
}

// hash sums up digests, so that hosts can see at the price of one packet that
// they know the same. Hosts that are gone are left out, since not all forget
// them at the same time; what is known of those travels with push-pull.
func hash(digests []digest) uint64 {
	h := fnv.New64a()
	for _, d := range digests {
		if d.age == 0 {
			var w writer
			w.digest(d)
			_, _ = h.Write(w.buf) // a hash takes everything
		}
	}
	return h.Sum64()
}

// snapshot returns what is shown, in order.
func (t *table) snapshot() cluster.Snapshot {
	var s cluster.Snapshot
	for name, e := range t.entries {
		if e.shown() {
			s.Hosts = append(s.Hosts, cluster.Host{Name: name, Memberships: e.attachments, UnreachableSince: e.lost})
		}
	}
	slices.SortFunc(s.Hosts, func(a, b cluster.Host) int { return cmp.Compare(a.Name, b.Name) })
	return s
}
