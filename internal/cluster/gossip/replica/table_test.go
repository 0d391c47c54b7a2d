package replica

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

func TestTableWantsOnlyNews(t *testing.T) {
	now := time.Unix(1e9, 0)
	after := func(d time.Duration) time.Time { return now.Add(d) }
	version := func(sequence uint64) wire.Version {
		v := wiretest.Record("a").Version
		v.Sequence = sequence
		return v
	}
	digest := func(sequence uint64, age time.Duration) wire.Digest {
		return wire.Digest{Key: wiretest.Host9, Version: version(sequence), Age: wire.Age(age)}
	}
	// leave stores the next version of the record, which says that host-9 left.
	leave := func(tb *table) {
		tb.putRecord(wire.AgedRecord{Record: wire.Record{Key: wiretest.Host9, Left: true, Version: version(6)}}, false, now)
	}
	newTableWithHost9 := func() *table {
		tb := newTable(time.Hour, DefaultLimits)
		tb.MarkPresent(wiretest.Host9)
		record := wiretest.Record("a")
		record.Version = version(5)
		tb.putRecord(wire.AgedRecord{Record: record}, false, now)
		return tb
	}
	tests := []struct {
		name  string
		do    func(*table)
		offer wire.Digest
		wants bool
		hosts int // visible
	}{
		{"an older version", func(*table) {}, digest(4, 0), false, 1},
		{"the same version", func(*table) {}, digest(5, 0), false, 1},
		{"a newer version", func(*table) {}, digest(6, 0), true, 1},
		{"a newer version of a host that is lost", func(tb *table) { tb.MarkLost(wiretest.Host9, now) }, digest(6, time.Minute), true, 1},
		{"a newer one, lost for too long", func(tb *table) { tb.MarkLost(wiretest.Host9, now) }, digest(6, time.Hour), false, 1},
		{"of a host that the sender lost and that is here", func(*table) {}, digest(6, 2*time.Hour), true, 1},
		{"not forgotten yet", func(tb *table) { tb.MarkLost(wiretest.Host9, now); tb.Forget(after(59 * time.Minute)) }, digest(5, 0), false, 1},
		{"forgotten", func(tb *table) { tb.MarkLost(wiretest.Host9, now); tb.Forget(after(time.Hour)) }, digest(5, 59*time.Minute), false, 0},
		{"forgotten and back", func(tb *table) {
			tb.MarkLost(wiretest.Host9, now)
			tb.Forget(after(time.Hour))
			tb.MarkPresent(wiretest.Host9)
		}, digest(5, 0), true, 0},
		{"forgotten for long", func(tb *table) {
			tb.MarkLost(wiretest.Host9, now)
			tb.Forget(after(time.Hour))
			tb.Forget(after(2 * time.Hour))
		}, digest(5, 59*time.Minute), true, 0},
		{"left", leave, digest(5, 0), false, 0},
		{"left, and that has expired", func(tb *table) {
			leave(tb)
			tb.MarkLost(wiretest.Host9, now)
			tb.Forget(after(time.Hour))
		}, digest(5, 30*time.Minute), true, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tb := newTableWithHost9()
			tt.do(tb)
			if got := tb.wantsVersion(tt.offer, false); got != tt.wants {
				t.Errorf("wants %v", got)
			}
			if got := len(tb.Snapshot().Hosts); got != tt.hosts {
				t.Errorf("%d hosts are visible", got)
			}
		})
	}
}

// A host that learns of a lost host from another forgets it at the same time.
func TestAgeTravelsWithTheRecord(t *testing.T) {
	now := time.Unix(1e9, 0)
	a, b := newTable(time.Hour, DefaultLimits), newTable(time.Hour, DefaultLimits)
	a.MarkPresent(wiretest.Host9)
	a.putRecord(wire.AgedRecord{Record: wiretest.Record("a")}, false, now)
	a.MarkLost(wiretest.Host9, now)
	later := now.Add(40 * time.Minute)
	h, ok := a.Record(wiretest.Host9, later)
	if !ok || !b.putRecord(h, false, later) {
		t.Fatal("not passed on")
	}
	b.Forget(now.Add(59 * time.Minute))
	if len(b.Snapshot().Hosts) != 1 {
		t.Error("forgotten too early")
	}
	b.Forget(now.Add(time.Hour))
	if len(b.Snapshot().Hosts) != 0 {
		t.Error("not forgotten")
	}
}

// Not all hosts forget a host that is gone at the same time.
func TestHashLeavesOutHostsThatAreGone(t *testing.T) {
	now := time.Unix(1e9, 0)
	tb := newTable(time.Hour, DefaultLimits)
	empty := tb.summary()
	tb.MarkPresent(wiretest.Host9)
	tb.putRecord(wire.AgedRecord{Record: wiretest.Record("a")}, false, now)
	full := tb.summary()
	if full == empty {
		t.Error("a record makes no difference")
	}
	tb.MarkLost(wiretest.Host9, now)
	if tb.summary() != empty {
		t.Error("a host that is gone makes a difference")
	}
}

// So it is with several networks, and with containers that have an address in common.
func TestAddressesInUseAreCountedInAllNetworks(t *testing.T) {
	now := time.Unix(1e9, 0)
	tb, random := newTable(time.Hour, DefaultLimits), rand.New(rand.NewPCG(1, 2))
	tb.MarkPresent(wiretest.Host9)
	for i := range 500 {
		var memberships []cluster.Membership
		want := make(map[netip.Addr]int)
		for range random.IntN(4) {
			m := wiretest.Membership(wiretest.Sender.Addr(), []string{"a", "b", "c", "d", "e", "f"}[random.IntN(6):]...)
			for j := range m.Endpoints {
				m.Endpoints[j].Addrs = []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(3))})}
				want[m.Endpoints[j].Addrs[0]]++
			}
			want[m.HostAddrs[0]]++
			memberships = append(memberships, m)
		}
		r := wiretest.Record()
		r.Memberships = memberships
		tb.putRecord(wire.AgedRecord{Record: wiretest.Versioned(r, uint64(i+1))}, true, now)
		if !maps.Equal(tb.inUse, want) {
			t.Fatalf("record %d: got %v, want %v", i, tb.inUse, want)
		}
	}
}

// The count of addresses is that of the records that are there, whatever came and went.
func TestAddressesInUseAreCounted(t *testing.T) {
	now := time.Unix(1e9, 0)
	tb := newTable(time.Hour, DefaultLimits)
	tb.MarkPresent(wiretest.Host9)
	for i, names := range [][]string{{"a", "b"}, {"a"}, {"a", "b", "c"}} {
		r := wiretest.Versioned(wiretest.Record(names...), uint64(i+1))
		tb.putRecord(wire.AgedRecord{Record: r}, true, now)
		if len(tb.inUse) != len(names)+1 { // and the host's own
			t.Errorf("%v: %v are in use", names, tb.inUse)
		}
	}
	tb.MarkLost(wiretest.Host9, now)
	tb.Forget(now.Add(2 * time.Hour))
	if len(tb.inUse) != 0 {
		t.Errorf("of a host that is forgotten %v are in use", tb.inUse)
	}
}
