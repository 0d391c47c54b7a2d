package agent

import (
	"net/netip"
	"testing"
	"testing/synctest"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
)

// An agent that is told to end may not come back, and hosts that come later must be reached.
func TestAgentThatIsStoppedLeavesNetworksAsTheirListsSay(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.prepare = func(c *fakeCluster) {
			c.ready = make(chan struct{})
			close(c.ready)
			c.shown = cluster.Snapshot{Hosts: []cluster.Host{other(11), other(12, elsewhere)}}
		}
		r.start()
		sleep(settling)
		look := func() (flooded int, learning bool) {
			l, err := r.kernel.HostNamespace().Link("vxlan-blue", kernel.FacetFDB)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range l.FDB {
				if e.MAC.IsZero() {
					flooded++
				}
			}
			return flooded, l.Tunnel.Learning
		}
		if flooded, learning := look(); flooded != 1 || learning {
			t.Fatalf("with an agent: flooded to %d, learning %v", flooded, learning)
		}
		r.finish()
		synctest.Wait()
		if flooded, learning := look(); flooded != 2 || !learning {
			t.Errorf("without: flooded to %d, learning %v", flooded, learning)
		}
	})
}

// Hosts without a key that do not list each other go on alone, and must say so.
func TestLonelyHostWarns(t *testing.T) {
	l := local()
	l.Gossip = true
	for _, tt := range []struct {
		name    string
		keys    []gossip.Key
		members int
		warns   bool
	}{
		{"alone", nil, 1, true},
		{"not alone", nil, 2, false},
		{"alone with a key", make([]gossip.Key, 1), 1, false},
	} {
		a := &Agent{Config: config.Config{Keys: tt.keys}}
		a.claims.parts = map[netip.Addr]part{vtep(1): {cluster: &running{Cluster: &fakeCluster{members: tt.members}}, locals: []hoststate.Network{l}}}
		got := a.lonely(agentapi.AssignRequest{Network: l.ID, Container: l.Endpoints[0].ContainerID})
		if (got != "") != tt.warns {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}

// News of a host that are not about a network do not have its tables read.
func TestNewsOfOthersCostNothingHere(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.prepare = func(c *fakeCluster) {
			c.ready = make(chan struct{})
			close(c.ready)
			c.shown = cluster.Snapshot{Hosts: []cluster.Host{other(11), other(12)}}
		}
		r.start()
		sleep(2 * settling)
		calls := func(hosts ...cluster.Host) int {
			before := r.kernel.Calls
			c := r.cluster()
			c.mu.Lock()
			c.shown = cluster.Snapshot{Hosts: hosts}
			close(c.changed)
			c.changed = make(chan struct{})
			c.mu.Unlock()
			sleep(10 * coalesce)
			return r.kernel.Calls - before
		}
		elsewhere := other(12)
		elsewhere.Memberships = append(elsewhere.Memberships, cluster.Membership{Network: cluster.NetworkKey{VNI: 200, Port: 4789}, VTEP: vtep(12)})
		none := calls(other(11), elsewhere)
		elsewhere.Memberships[0].Endpoints = []cluster.Endpoint{{ContainerID: "c9", MAC: kernel.MAC{2, 9}, Names: []string{"web"}}}
		if some := calls(other(11), elsewhere); none >= some {
			t.Errorf("%d calls for news of another network, %d for those of this one", none, some)
		}
		r.finish()
	})
}
