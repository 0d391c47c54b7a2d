package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
)

// The inventory has what is on the networks of this host now, and what others have besides.
func TestInventory(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		foreign := otherHost(12, "far")
		foreign.Memberships[0].Network = cluster.NetworkKey{VNI: 200, Port: 4789}
		foreign.Memberships[0].View.Name = "green"
		r.cluster().show(otherHost(11, "web"), foreign)
		sleep(newsDebounce)
		r.setup(2) // the agent is not told
		a := r.answerTo(agentapi.Request{Verb: agentapi.VerbInventory})
		if a.Inventory == nil || len(a.Inventory.Networks) != 1 {
			t.Fatalf("got %+v", a)
		}
		n := a.Inventory.Networks[0]
		var endpoints, hosts []string
		for _, e := range n.Endpoints {
			endpoints = append(endpoints, fmt.Sprint(e.Container, " ", e.Addrs, " ", e.State))
		}
		for _, h := range n.Hosts {
			hosts = append(hosts, fmt.Sprint(h.VTEP, " ", h.Self, h.Reachable, h.Containers))
		}
		if want := []string{"c1 [10.0.0.2] up", "c2 [10.0.0.3] up", "web [] up"}; !slices.Equal(endpoints, want) {
			t.Errorf("endpoints %q", endpoints)
		}
		if want := []string{"198.18.0.10 true true 2", "198.18.0.11 false true 1"}; !slices.Equal(hosts, want) {
			t.Errorf("hosts %q", hosts)
		}
		if !slices.ContainsFunc(n.Names, func(name agentapi.NameInventory) bool { return name.Name == "web" }) {
			t.Errorf("names %v", n.Names)
		}
		if s := n.Subnets[0]; len(s.Slices) != 3 || s.Slices[0].First != s.First || !strings.Contains(s.Unusable[s.Gateway], "gateway") {
			t.Errorf("subnet %+v", s)
		}
		if e := a.Inventory.Elsewhere; len(e) != 1 || e[0].Name != "green" || e[0].VNI != 200 || e[0].Containers != 1 {
			t.Errorf("elsewhere %+v", e)
		}
		sleep(time.Second)
		r.finish()
	})
}
