package plan

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"vxlan-driver/internal/kernel"
)

// Whatever comes and goes, on this host and on others: the entries that change decides about,
// planned alone, lead to the same tables as a plan of everything.
func TestPlanOfSomeEntriesLeadsToThatOfAll(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	n := blue()
	for range 300 {
		k, list := randomKnown(rnd)
		k.Remotes = new(Remotes)
		pool := make([]*Remote, len(list))
		for i := range list {
			list[i].Trust = Trust{Class: rnd.IntN(2), Host: list[i].VTEP.String(), Place: strconv.Itoa(i)}
			pool[i] = &list[i]
		}
		added := map[*Remote]bool{}
		have := newTableSet(Forward(n, vtep, k).Tables)
		for range 40 {
			if len(pool) == 0 {
				break
			}
			var keys kernel.ForwardingKeys
			switch one := pool[rnd.IntN(len(pool))]; {
			case rnd.IntN(5) == 0:
				other, _ := randomKnown(rnd)
				for _, e := range slices.Concat(k.Local, other.Local) {
					keys = appendKeys(keys, k.Remotes.KeysOfMAC(e.MAC))
					keys.Addrs = append(keys.Addrs, e.Addrs[0].Addr())
				}
				k.Local = other.Local
			case added[one]:
				k.Remotes.Remove(one)
				delete(added, one)
				keys = k.Remotes.KeysOf(one)
			default:
				k.Remotes.Add(one)
				added[one] = true
				keys = k.Remotes.KeysOf(one)
			}
			some := k
			some.Only = &keys
			have.replace(keys, Forward(n, vtep, some).Tables)
			all := k
			all.Remotes = new(Remotes)
			for r := range added { // in no order
				all.Remotes.Add(r)
			}
			if want := newTableSet(Forward(n, vtep, all).Tables); !reflect.DeepEqual(have, want) {
				t.Fatalf("after a change of %+v: got %+v, want %+v", keys, have, want)
			}
		}
	}
}

func appendKeys(keys, more kernel.ForwardingKeys) kernel.ForwardingKeys {
	return kernel.ForwardingKeys{MACs: append(keys.MACs, more.MACs...), Addrs: append(keys.Addrs, more.Addrs...)}
}

// tableSet is the tables of a kernel in which entries are replaced.
type tableSet struct {
	fdb        map[kernel.MAC]netip.Addr
	neighbours map[netip.Addr]kernel.MAC
}

func newTableSet(t kernel.ForwardingTables) tableSet {
	s := tableSet{make(map[kernel.MAC]netip.Addr), make(map[netip.Addr]kernel.MAC)}
	s.replace(kernel.ForwardingKeys{}, t)
	return s
}

func (s tableSet) replace(keys kernel.ForwardingKeys, t kernel.ForwardingTables) {
	for _, m := range keys.MACs {
		delete(s.fdb, m)
	}
	for _, a := range keys.Addrs {
		delete(s.neighbours, a)
	}
	for _, e := range t.FDB {
		s.fdb[e.MAC] = e.Dst
	}
	for _, e := range t.Neighbours {
		s.neighbours[e.Addr] = e.MAC
	}
}
