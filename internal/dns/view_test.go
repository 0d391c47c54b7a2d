package dns

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// printView lists all that a view knows.
func printView(v *view) string {
	var lines []string
	for _, shard := range v.nodes.shards {
		for k, n := range shard {
			lines = append(lines, fmt.Sprintf("%q %v %v %d", k, n.v4(), n.v6(), n.below))
		}
	}
	for _, shard := range v.reverse.shards {
		for a, names := range shard {
			lines = append(lines, fmt.Sprint(a, slices.Sorted(slices.Values(names))))
		}
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
