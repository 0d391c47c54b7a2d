package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/kernel"
)

// servers is the plane of networks with discovery=etcd, or nil.
func (r *rig) servers() *fakeCluster {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.planes[netip.Addr{}]
}

// setPlanes changes by which planes the network's hosts are found. also is the second one; "": none.
func (r *rig) setPlanes(discovery, also string) {
	r.t.Helper()
	r.setOptions(map[string]string{"discovery": discovery, "discovery_also": also})
}

// membersOf are other hosts with a container each, as any plane tells of them.
func membersOf(numbers ...byte) (hosts []cluster.Host) {
	for _, n := range numbers {
		h := otherHost(n)
		h.ID = cluster.HostID{n}
		h.Memberships[0].BridgeMAC = kernel.MAC{6, n}
		h.Memberships[0].Endpoints = []cluster.Endpoint{{
			ContainerID: fmt.Sprint("c", n), Names: []string{fmt.Sprint("n", n)}, MAC: kernel.MAC{2, n},
			Addrs: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, n + 100})},
		}}
		hosts = append(hosts, h)
	}
	return hosts
}

// entries are those by which frames reach other hosts.
func (r *rig) entries() string {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	l, err := r.kernel.HostNamespace().Link("vxlan-blue", kernel.FacetFDB)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []string
	for _, e := range l.FDB {
		all = append(all, fmt.Sprint(e.MAC, " ", e.Dst))
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// removals are the commands since the log had so many by which something went away.
func (r *rig) removals(since int) (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, change := range r.kernel.Log[since:] {
		if strings.Contains(change, "fdb delete") || strings.Contains(change, "neigh del") {
			all = append(all, change)
		}
	}
	return all
}

func (r *rig) logged() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.kernel.Log)
}

func (r *rig) wantMove(when, want string) {
	r.t.Helper()
	got := "does not move"
	if m := r.status().Networks[0].Move; m != nil {
		got = fmt.Sprintf("from %s to %s, here %v, missing %v", m.From, m.To, m.Here, m.Missing)
	}
	if got != want {
		r.t.Errorf("%s: %s, want %s", when, got, want)
	}
}

// withMovingAgent runs a test with an agent on a network by gossip, whose two other hosts have a container each.
func withMovingAgent(t *testing.T, test func(t *testing.T, r *rig)) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.plugin.Agent = assigningPluginSide{r: r}
		r.ServerPlane = cluster.Kind{Name: "etcd", Carries: gossip.Carries, HasServers: true, New: r.newCluster}
		r.prepareCluster = func(c *fakeCluster) { time.AfterFunc(ready, func() { c.setSynced() }) }
		r.start()
		if _, err := r.plugin.Setup(gossipAttachRequest(1, "")); err != nil {
			t.Fatal(err)
		}
		r.cluster().show(membersOf(11, 12)...)
		sleep(2 * gracePeriod)
		test(t, r)
		r.finish()
	})
}

// The hosts of a network move from one plane to the other, this one first, and back. What leads to the other
// hosts never goes away, whatever plane tells of them and even while an agent starts. At the end nothing is
// published by the plane before.
func TestNetworkMovesBetweenPlanes(t *testing.T) {
	withMovingAgent(t, func(t *testing.T, r *rig) {
		want, since := r.entries(), r.logged()
		if !strings.Contains(want, "02:0b:00:00:00:00 198.18.0.11") ||
			!strings.Contains(want, "00:00:00:00:00:00 198.18.0.12") {
			t.Fatalf("at first: %s", want)
		}
		check := func(when string) {
			t.Helper()
			sleep(2 * time.Second)
			if got := r.entries(); got != want {
				t.Errorf("%s: entries\n%s\nwant\n%s", when, got, want)
			}
			if gone := r.removals(since); len(gone) > 0 {
				t.Errorf("%s: entries went away: %s", when, strings.Join(gone, "; "))
			}
		}
		own := func(c *fakeCluster) int { return len(c.seen().own) }
		r.wantMove("before", "does not move")
		r.setPlanes("etcd", "gossip")
		check("on both planes")
		if own(r.servers()) != 1 || own(r.cluster()) != 1 || len(r.servers().seen().own[0].Endpoints) != 1 {
			t.Error("not published by both planes")
		}
		r.wantMove("on both planes", "from gossip to etcd, here [], missing [l (198.18.0.11) m (198.18.0.12)]")
		r.servers().show(membersOf(11)...)
		check("one has moved")
		r.wantMove("one has moved", "from gossip to etcd, here [], missing [m (198.18.0.12)]")
		gossiping := r.cluster()
		r.finish() // an agent that is killed and restarted
		r.prepareCluster = nil
		r.start()
		r.servers().setSynced()
		r.servers().show(membersOf(11)...)
		sleep(2 * gracePeriod)
		check("a new agent has been told by one plane alone")
		r.cluster().show(membersOf(11, 12)...)
		r.cluster().setSynced()
		check("a new agent")
		if r.cluster() == gossiping {
			t.Error("the agent is the same")
		}
		r.servers().show(membersOf(11, 12)...)
		r.wantMove("both have moved", "from gossip to etcd, here [], missing []")
		r.cluster().show(membersOf(12)...) // one has done with gossip
		check("one has finished")
		r.setPlanes("etcd", "")
		r.cluster().show()
		check("finished")
		r.wantMove("finished", "does not move")
		if own(r.cluster()) != 0 || own(r.servers()) != 1 {
			t.Error("still published by gossip")
		}
		sleep(2 * idleTimeout)
		if !r.cluster().seen().left {
			t.Error("the plane before goes on")
		}
		check("without gossip")
		r.setPlanes("gossip", "etcd")
		check("on the way back")
		r.cluster().show(membersOf(11, 12)...)
		check("all are back")
		r.setPlanes("gossip", "")
		r.servers().show()
		check("back")
		if own(r.cluster()) != 1 || own(r.servers()) != 0 {
			t.Error("still published by etcd")
		}
	})
}

// A host that moves cannot do without the plane before as long as the other one does not answer.
func TestMoveWaitsForThePlane(t *testing.T) {
	withMovingAgent(t, func(t *testing.T, r *rig) {
		want := r.entries()
		r.prepareCluster = nil // it never knows what the other hosts have
		r.setPlanes("etcd", "gossip")
		r.wantMove("the plane does not answer", "from gossip to etcd, here [etcd has not told yet what other hosts have], "+
			"missing [l (198.18.0.11) m (198.18.0.12)]")
		sleep(time.Minute)
		if got := r.entries(); got != want {
			t.Errorf("entries\n%s\nwant\n%s", got, want)
		}
		r.servers().setSynced()
		r.servers().show(membersOf(11, 12)...)
		r.wantMove("it answers", "from gossip to etcd, here [], missing []")
	})
}

// A container that starts while the network moves gets an address that both planes grant.
func TestContainerStartsWhileTheNetworkMoves(t *testing.T) {
	withMovingAgent(t, func(t *testing.T, r *rig) {
		r.setPlanes("etcd", "gossip")
		ns, q := gossipAttachRequest(2, "")
		q.Network = []byte(strings.Replace(string(q.Network), `"discovery": "gossip"`,
			`"discovery": "etcd", "discovery_also": "gossip"`, 1))
		status, err := r.plugin.Setup(ns, q)
		if err != nil {
			t.Fatal(err)
		}
		addr := status.Interfaces["eth0"].Subnets[0].IPNet.Addr()
		r.storeChanged()
		sleep(2 * time.Second)
		for name, c := range map[string]*fakeCluster{"gossip": r.cluster(), "etcd": r.servers()} {
			own := c.seen().own
			if len(own) != 1 || len(own[0].Endpoints) != 2 ||
				!slices.ContainsFunc(own[0].Endpoints, func(e cluster.Endpoint) bool { return slices.Contains(e.Addrs, addr) }) {
				t.Errorf("%s has %+v, want %v", name, own, addr)
			}
			if claimed := c.seen().claimed; len(claimed) > 0 {
				t.Errorf("%s: still claimed: %v", name, claimed)
			}
		}
		// What one plane alone knows to be taken is refused.
		r.servers().show(membersOf(11)...)
		sleep(time.Second)
		ns, q = gossipAttachRequest(3, `, "static_ips": ["10.0.0.111"]`)
		q.Network = []byte(strings.Replace(string(q.Network), `"discovery": "gossip"`,
			`"discovery": "etcd", "discovery_also": "gossip"`, 1))
		if _, err := r.plugin.Setup(ns, q); err == nil ||
			!strings.Contains(err.Error(), "address 10.0.0.111 of network blue is in use by container n11 on host") {
			t.Errorf("got %v", err)
		}
	})
}
