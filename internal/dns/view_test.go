package dns

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// all returns what the map has, in any order.
func (s *sharded[K, V]) all() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, group := range *s.groups {
			for shard := 0; group != nil && shard < groupSize; shard++ {
				for _, e := range group[shard] {
					if !yield(e.key, e.value) {
						return
					}
				}
			}
		}
	}
}

// printView lists all that a view knows.
func printView(v *view) string {
	var lines []string
	for k, n := range v.nodes.all() {
		lines = append(lines, fmt.Sprintf("%q %v %v %d", k, n.v4(), n.v6(), n.below))
	}
	for a, names := range v.reverse.all() {
		lines = append(lines, fmt.Sprint(a, slices.Sorted(slices.Values(names))))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Whatever comes and goes on this host and on others, a zone that was set step by step answers as
// one that was set at once. Names and addresses are few, so that records share them.
func TestZoneSetStepByStepIsThatSetAtOnce(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	names := []string{"web", "Web", "db", "a.prod", "b.prod", "prod", "x.a.prod", "odd name", ""}
	randomRecords := func(id string) (all []Record) {
		for i := range rnd.IntN(5) {
			r := Record{ID: id}
			if id != "" {
				r.ID = fmt.Sprint(id, i)
			}
			for range rnd.IntN(4) {
				r.Names = append(r.Names, names[rnd.IntN(len(names))])
			}
			for range rnd.IntN(3) {
				r.Addrs = append(r.Addrs, []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, byte(rnd.IntN(6))}), netip.AddrFrom16([16]byte{0xfd, 15: byte(rnd.IntN(4))})}[rnd.IntN(2)])
			}
			all = append(all, r)
		}
		return all
	}
	for range 200 {
		var z servedZone
		groups := map[int]*RecordGroup{}
		local := randomRecords("own")
		for range 30 {
			switch host := rnd.IntN(5); rnd.IntN(4) {
			case 0:
				delete(groups, host)
			case 1:
				local = randomRecords("own")
			default:
				groups[host] = &RecordGroup{randomRecords("")}
			}
			zone := Zone{Records: local}
			for _, host := range slices.Sorted(maps.Keys(groups)) {
				zone.Remote = append(zone.Remote, groups[host])
			}
			var before string
			old := z.view.Load()
			if old != nil {
				before = printView(old)
			}
			z.updateView(zone, nil)
			if got, want := printView(z.view.Load()), printView(newView(zone, nil)); got != want {
				t.Fatalf("step by step:\n%s\nat once:\n%s", got, want)
			}
			if old != nil && printView(old) != before {
				t.Fatal("a view has changed")
			}
		}
	}
}

// A container that starts on any host changes the view on all hosts. So with many names a change must
// not copy much.
func TestChangeOfLargeViewCopiesLittle(t *testing.T) {
	record := func(i int) Record {
		return Record{
			Names: []string{fmt.Sprint("container-", i), fmt.Sprintf("%012x", i)},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})},
		}
	}
	e := new(view).edit()
	const many = 50000
	for i := range many {
		e.addRecord(record(i))
	}
	v := e.finish()
	const times = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range times {
		e := v.edit()
		e.removeRecord(record(i))
		e.addRecord(record(many + i))
		v = e.finish()
	}
	runtime.ReadMemStats(&after)
	const most = 24 << 10
	if got := (after.TotalAlloc - before.TotalAlloc) / times; got > most {
		t.Errorf("one container goes and another comes: %d bytes, want at most %d", got, most)
	} else {
		t.Logf("%d bytes", got)
	}
}
