package replica

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
	"vxlan-driver/internal/cluster/gossip/wire/wiretest"
)

// numbered is the key of a host that has a number.
func numbered(i int) wire.Key {
	return wire.Key{ID: wiretest.ID(uint16(i + 100)), Addr: wiretest.Sender}
}

func TestWhoIsExcluded(t *testing.T) {
	limits := Limits{Hosts: 4, Endpoints: 100, Bytes: 1000}
	of := func(i, rank, endpoints, bytes int) share { return share{numbered(i), rank, endpoints, bytes} }
	tests := []struct {
		name   string
		shares []share
		want   map[int]string
	}{
		{"all fit", []share{of(1, 0, 50, 500), of(2, 0, 50, 500)}, nil},
		{"too many containers", []share{of(1, 0, 50, 0), of(2, 0, 60, 0), of(3, 0, 50, 0)}, map[int]string{2: "100 containers"}},
		{"too many bytes", []share{of(1, 0, 0, 500), of(2, 0, 0, 501)}, map[int]string{2: "1000 bytes of records"}},
		{"too many hosts", []share{of(1, 0, 0, 0), of(2, 0, 0, 0), of(3, 0, 0, 0), of(4, 0, 0, 0), of(5, 0, 0, 0)}, map[int]string{5: "4 hosts"}},
		{"who is not reachable goes first", []share{of(1, 1, 60, 0), of(2, 0, 60, 0)}, map[int]string{1: "100 containers"}},
		{"who is gone takes no room", []share{of(1, 2, 0, 0), of(2, 0, 100, 0), of(3, 2, 0, 0), of(4, 2, 0, 0), of(5, 2, 0, 0)}, nil},
	}
	for _, tt := range tests {
		for range 10 {
			rand.Shuffle(len(tt.shares), func(i, j int) { tt.shares[i], tt.shares[j] = tt.shares[j], tt.shares[i] })
			got := limits.exclude(slices.Clone(tt.shares))
			want := make(map[wire.Key]string)
			for i, limit := range tt.want {
				want[numbered(i)] = limit
			}
			if !maps.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", tt.name, got, want)
			}
		}
	}
}

// What is taken is not counted anew for each record. Whatever comes and goes, it is never too little.
func TestTakenIsNeverTooLittle(t *testing.T) {
	rnd, now := rand.New(rand.NewPCG(5, 6)), time.Unix(1e9, 0)
	tb := newTable(time.Hour, Limits{Hosts: 8})
	for step := range uint64(5000) {
		host := numbered(rnd.IntN(12))
		now = now.Add(time.Duration(rnd.IntN(20)) * time.Minute)
		switch rnd.IntN(6) {
		case 0:
			tb.MarkPresent(host)
		case 1:
			tb.MarkLost(host, now)
		case 2:
			tb.Forget(now)
		default:
			r := wiretest.Record([]string{"a", "b"}[:rnd.IntN(3)]...)
			r.Key, r.Version.Sequence, r.Left = host, step+1, rnd.IntN(5) == 0
			tb.putRecord(wire.AgedRecord{Record: r}, true, now)
		}
		counted := tb.countTaken()
		if tb.taken.Hosts < counted.Hosts || tb.taken.Endpoints < counted.Endpoints || tb.taken.Bytes < counted.Bytes {
			t.Fatalf("step %d: %+v, counted %+v", step, tb.taken, counted)
		}
		if rnd.IntN(10) == 0 {
			tb.taken = counted
		}
	}
}

// However many hosts somebody makes up, those that are there are remembered. Which others are does
// not depend on the order in which they are heard of.
func TestMadeUpHostsDriveNobodyOut(t *testing.T) {
	const limit = 20
	remembered := func(present []int) map[wire.Key]bool {
		tb := newTable(time.Hour, Limits{Hosts: limit})
		for _, i := range present {
			tb.MarkPresent(numbered(i))
		}
		for _, i := range rand.Perm(100) {
			r := wire.Record{Key: numbered(i), Version: wire.Version{Incarnation: 1, Sequence: 1}}
			tb.putRecord(wire.AgedRecord{Record: r}, false, time.Unix(1e9, 0))
		}
		keys := make(map[wire.Key]bool)
		for key := range tb.entries {
			keys[key] = true
		}
		return keys
	}
	present := []int{7, 60, 80, 99}
	first := remembered(present)
	if len(first) != limit {
		t.Errorf("%d hosts are remembered", len(first))
	}
	for _, i := range present {
		if !first[numbered(i)] {
			t.Errorf("host %d is forgotten", i)
		}
	}
	for range 20 {
		if again := remembered(present); !maps.Equal(first, again) {
			t.Fatalf("%d hosts are remembered, others than before", len(again))
		}
	}
}

// The digests of all hosts that are remembered, and this host's, fit a message.
func TestDigestsOfAllHostsFit(t *testing.T) {
	tb := newTable(time.Hour, DefaultLimits)
	for i := range wire.MaxHosts + 5 {
		r := wire.Record{Key: numbered(i), Version: wire.Version{Incarnation: 1, Sequence: 1}}
		tb.putRecord(wire.AgedRecord{Record: r}, false, time.Unix(1e9, 0))
	}
	all := append(tb.listDigests(time.Unix(1e9, 0)), wire.Digest{Key: wiretest.Host9, Version: wire.Version{Incarnation: 1, Sequence: 1}})
	m := wire.Message{Kind: wire.KindDigests, From: wiretest.Host9, Digests: all}
	if _, err := wire.Decode(m.Encode(), wire.Supported); err != nil {
		t.Error(err)
	}
}
