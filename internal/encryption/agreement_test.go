package encryption

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
)

// agreement is hosts that see each other at once, and of which each has waited for the others for a minute. All
// devices answer.
type agreement []hostKeys

// turn has a host take steps until there is none.
func (a agreement) turn(host int) {
	for range 10 {
		k := &a[host]
		next := situation{own: *k, ready: k.last(), slow: true, others: a.othersOf(host)}.next()
		if next.drop != 0 {
			k.Keys = slices.DeleteFunc(k.Keys, func(key hostKey) bool { return key.Generation == next.drop })
		}
		for _, g := range next.make {
			k.Keys = append(k.Keys, hostKey{Generation: g})
		}
		if next.send != 0 {
			k.Sends, k.Announced = next.send, next.send
		}
		if next.drop == 0 && next.send == 0 && len(next.make) == 0 {
			return
		}
	}
}

func (a agreement) othersOf(host int) (others []otherHost) {
	for i, k := range a {
		if i == host {
			continue
		}
		var o otherHost
		for _, key := range k.Keys {
			o.keys = append(o.keys, cluster.TunnelKey{Generation: key.Generation, Sends: key.Generation == k.Announced})
		}
		if o.has(a[host].last()) {
			o.shaken = a[host].last()
		}
		others = append(others, o)
	}
	return others
}

func (a agreement) isReached() bool {
	for _, k := range a {
		if len(k.Keys) != 1 || k.last() != a[0].last() {
			return false
		}
	}
	return true
}

func (a agreement) String() string {
	var hosts []string
	for _, k := range a {
		text := fmt.Sprintf("sends %d of", k.Sends)
		for _, key := range k.Keys {
			text += fmt.Sprintf(" %d", key.Generation)
		}
		hosts = append(hosts, text)
	}
	return strings.Join(hosts, "; ")
}

// Hosts that a malicious one has led to different generations agree again. A host that gives up a generation to
// follow the others must not go to one where nobody else is: then the others' way might be another one.
func TestHostsAgreeInTurns(t *testing.T) {
	states := []agreement{
		{own(17, 17, 17, 23), own(17, 17, 17, 23), own(17, 17, 17, cluster.MaxGeneration)}, // no two turns at once
		{own(1700998158, 1700998158, 1700998158, 2271596219), own(1700998158, 1700998158, 1700998158, 2271596219),
			own(1700998158, 1700998158, 1700998158, cluster.MaxGeneration)}, // as it was found
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var a agreement
		earlier := 1 + rng.Uint64N(cluster.MaxGeneration)
		for range 2 + rng.IntN(4) {
			switch later := 1 + rng.Uint64N(cluster.MaxGeneration); {
			case later == earlier || rng.IntN(4) == 0:
				a = append(a, own(earlier, earlier, earlier))
			case len(a) > 0 && rng.IntN(2) == 0:
				a = append(a, own(earlier, earlier, earlier, a[len(a)-1].last()))
			default:
				a = append(a, own(earlier, earlier, earlier, later))
			}
			if k := &a[len(a)-1]; len(k.Keys) == 2 && k.Keys[0].Generation == k.Keys[1].Generation {
				k.Keys = k.Keys[:1]
			}
		}
		states = append(states, a)
	}
	for _, a := range states {
		before := a.String()
		for turn := 0; !a.isReached(); turn++ {
			if turn > 30*len(a) {
				t.Fatalf("hosts that begin with\n%s\nare after many turns at\n%s", before, a)
			}
			a.turn(turn % len(a))
		}
	}
}
