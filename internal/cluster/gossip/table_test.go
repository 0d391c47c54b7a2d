package gossip

import (
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
)

func TestTable(t *testing.T) {
	now := time.Unix(1e9, 0)
	at := func(d time.Duration) time.Time { return now.Add(d) }
	r := func(seq uint64) record {
		r := testRecord("a")
		r.version.sequence = seq
		return r
	}
	offer := func(r record, a time.Duration) digest { return digest{name: r.name, version: r.version, age: age(a)} }
	fresh := func() *table {
		tb := newTable(time.Hour)
		tb.joined("host-9")
		tb.put(held{record: r(5)}, now)
		return tb
	}
	tests := []struct {
		name  string
		do    func(*table)
		offer digest
		wants bool
		hosts int // shown
	}{
		{"an older version", func(*table) {}, offer(r(4), 0), false, 1},
		{"the same version", func(*table) {}, offer(r(5), 0), false, 1},
		{"a newer version", func(*table) {}, offer(r(6), 0), true, 1},
		{"a newer version of a host that is lost", func(tb *table) { tb.gone("host-9", now) }, offer(r(6), time.Minute), true, 1},
		{"a newer one, lost for too long", func(tb *table) { tb.gone("host-9", now) }, offer(r(6), time.Hour), false, 1},
		{"of a host that the sender lost and that is here", func(*table) {}, offer(r(6), 2*time.Hour), true, 1},
		{"not forgotten yet", func(tb *table) { tb.gone("host-9", now); tb.expire(at(59 * time.Minute)) }, offer(r(5), 0), false, 1},
		{"forgotten", func(tb *table) { tb.gone("host-9", now); tb.expire(at(time.Hour)) }, offer(r(5), 59*time.Minute), false, 0},
		{"forgotten and back", func(tb *table) { tb.gone("host-9", now); tb.expire(at(time.Hour)); tb.joined("host-9") }, offer(r(5), 0), true, 0},
		{"forgotten for long", func(tb *table) { tb.gone("host-9", now); tb.expire(at(time.Hour)); tb.expire(at(2 * time.Hour)) }, offer(r(5), 59*time.Minute), true, 0},
		{"left", func(tb *table) { tb.put(held{record: record{name: "host-9", left: true, version: r(6).version}}, now) }, offer(r(5), 0), false, 0},
		{"left, and the mark has expired", func(tb *table) {
			tb.put(held{record: record{name: "host-9", left: true, version: r(6).version}}, now)
			tb.gone("host-9", now)
			tb.expire(at(time.Hour))
		}, offer(r(5), 30*time.Minute), true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tb := fresh()
			tt.do(tb)
			if got := tb.wants(tt.offer); got != tt.wants {
				t.Errorf("wants %v", got)
			}
			if got := len(tb.snapshot().Hosts); got != tt.hosts {
				t.Errorf("shows %d hosts", got)
			}
		})
	}
}

// Age travels: who learns of a lost host from another forgets it at the same time.
func TestAgeTravels(t *testing.T) {
	now := time.Unix(1e9, 0)
	a, b := newTable(time.Hour), newTable(time.Hour)
	a.joined("host-9")
	a.put(held{record: testRecord("a")}, now)
	a.gone("host-9", now)
	later := now.Add(40 * time.Minute)
	h, ok := a.held("host-9", later)
	if !ok || !b.put(h, later) {
		t.Fatal("not handed on")
	}
	b.expire(now.Add(59 * time.Minute))
	if len(b.snapshot().Hosts) != 1 {
		t.Error("forgotten too early")
	}
	b.expire(now.Add(time.Hour))
	if len(b.snapshot().Hosts) != 0 {
		t.Error("not forgotten")
	}
}

// Hosts that are gone do not count, as not all forget them at the same time.
func TestHash(t *testing.T) {
	now := time.Unix(1e9, 0)
	tb := newTable(time.Hour)
	empty := hash(tb.digests(now))
	tb.joined("host-9")
	tb.put(held{record: testRecord("a")}, now)
	full := hash(tb.digests(now))
	if full == empty {
		t.Error("a record makes no difference")
	}
	tb.gone("host-9", now)
	if hash(tb.digests(now)) != empty {
		t.Error("a host that is gone makes a difference")
	}
}

func TestTableIsLimited(t *testing.T) {
	tb := newTable(time.Hour)
	for i := range maxHosts + 5 {
		r := record{name: nameOf(i), version: version{incarnation: 1, sequence: 1}}
		tb.put(held{record: r}, time.Unix(1e9, 0))
	}
	if len(tb.entries) != maxHosts {
		t.Errorf("%d hosts", len(tb.entries))
	}
}

func TestTableHasRoomFor(t *testing.T) {
	tb := newTable(time.Hour)
	full := record{name: "full", attachments: []cluster.Membership{{Endpoints: make([]cluster.Endpoint, maxTotal)}}}
	if !tb.fits(full) {
		t.Error("no room for what is allowed")
	}
	tb.put(held{record: full}, time.Unix(1e9, 0))
	if !tb.fits(full) {
		t.Error("no room for another version")
	}
	if tb.fits(testRecord("a")) {
		t.Error("room for one more")
	}
}
