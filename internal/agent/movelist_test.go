package agent

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/netavark"
	"vxlan-driver/internal/network"
)

// dividedNetwork is testNetwork with what its creation has added: the part of the subnet that this host hands out.
var dividedNetwork = strings.Replace(testNetwork, `"gateway": "10.0.0.1"`,
	`"gateway": "10.0.0.1", "lease_range": {"start_ip": "10.0.0.2", "end_ip": "10.0.0.62"}`, 1)

// listedAttachRequest is attachRequest on a network that has a list of hosts, or had one, by these options.
func listedAttachRequest(i int, discovery string) (string, netavark.Request) {
	ns, q := attachRequest(i)
	q.Network = json.RawMessage(strings.Replace(dividedNetwork, `"options": {`, `"options": {`+discovery, 1))
	return ns, q
}

// setOptions changes options of the network in the store, as `vxlanctl network move` does. An empty one goes.
func (r *rig) setOptions(options map[string]string) {
	r.t.Helper()
	err := r.Host.ChangeConfig("7c7b", func(config []byte) ([]byte, error) {
		var m map[string]any
		if err := json.Unmarshal(config, &m); err != nil {
			return nil, err
		}
		for name, value := range options {
			m["options"].(map[string]any)[name] = value
			if value == "" {
				delete(m["options"].(map[string]any), name)
			}
		}
		return json.Marshal(m)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.storeChanged()
	sleep(2 * time.Second)
}

var (
	fromList = map[string]string{"discovery": "etcd", "discovery_also": "static"}
	toList   = map[string]string{"discovery": "static", "discovery_also": "etcd"}
	finished = map[string]string{"discovery_also": ""}
)

// withListedAgent runs a test with an agent on a network that has a list of hosts. Of these, some have a container
// each, as agents tell.
func withListedAgent(t *testing.T, members []byte, test func(t *testing.T, r *rig)) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.plugin.Agent = assigningPluginSide{r: r}
		r.ServerPlane = cluster.Kind{Name: "etcd", Carries: gossip.Carries, HasServers: true, New: r.newCluster}
		r.prepareCluster = func(c *fakeCluster) { time.AfterFunc(ready, func() { c.setSynced() }) }
		r.start()
		if _, err := r.plugin.Setup(listedAttachRequest(1, "")); err != nil {
			t.Fatal(err)
		}
		r.storeChanged()
		sleep(time.Second)
		r.cluster().show(listedMembers(members...)...)
		sleep(2 * gracePeriod)
		test(t, r)
		r.finish()
	})
}

// listedMembers are membersOf with bridges' MACs as the driver makes them.
func listedMembers(numbers ...byte) []cluster.Host {
	hosts := membersOf(numbers...)
	for i, n := range numbers {
		hosts[i].Memberships[0].BridgeMAC = network.BridgeMAC(100, vtep(n))
	}
	return hosts
}

// bridgeAddrs are those of this host on the network.
func (r *rig) bridgeAddrs() (all []string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	l, err := r.kernel.HostNamespace().Link("br-blue", kernel.FacetAddrs)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range l.Addrs {
		all = append(all, a.Prefix.String())
	}
	slices.Sort(all)
	return all
}

// The hosts of a network with a list move to etcd and back. What leads to the other hosts never goes away, and this
// host's own address stays.
func TestListedNetworkMovesToEtcdAndBack(t *testing.T) {
	withListedAgent(t, []byte{11, 12}, func(t *testing.T, r *rig) {
		want, addrs, since := r.entries(), r.bridgeAddrs(), r.logged()
		if !strings.Contains(want, "02:0b:00:00:00:00 198.18.0.11") || !slices.Contains(addrs, "10.0.0.63/24") {
			t.Fatalf("at first: %s; %v", want, addrs)
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
			if got := r.bridgeAddrs(); !slices.Equal(got, addrs) {
				t.Errorf("%s: this host has %v, want %v", when, got, addrs)
			}
		}
		r.setOptions(fromList)
		check("on both planes")
		r.wantMove("on both planes", "from static to etcd, here [], missing [l (198.18.0.11) m (198.18.0.12)]")
		if own := r.servers().seen().own; len(own) != 1 || len(own[0].Endpoints) != 1 {
			t.Errorf("etcd has %+v", own)
		}
		r.servers().show(listedMembers(11)...)
		r.wantMove("one has moved", "from static to etcd, here [], missing [m (198.18.0.12)]")
		r.finish() // an agent that is killed and restarted
		r.start()
		r.servers().show(listedMembers(11)...)
		r.cluster().show(listedMembers(11, 12)...)
		sleep(2 * gracePeriod)
		check("a new agent")
		r.servers().show(listedMembers(11, 12)...)
		r.wantMove("all have moved", "from static to etcd, here [], missing []")
		r.cluster().show(listedMembers(12)...)
		check("one has finished")
		r.setOptions(finished)
		r.cluster().show()
		check("finished")
		r.wantMove("finished", "does not move")
		sleep(2 * idleTimeout)
		check("by etcd alone")
		r.setOptions(toList)
		check("on the way back")
		r.wantMove("on the way back", "from etcd to static, here [], missing [l (198.18.0.11) m (198.18.0.12)]")
		r.cluster().show(listedMembers(11, 12)...)
		r.wantMove("all are back", "from etcd to static, here [], missing []")
		r.servers().show(listedMembers(11)...)
		r.setOptions(finished)
		r.servers().show()
		check("back")
		if own := r.servers().seen().own; len(own) != 0 {
			t.Errorf("etcd still has %+v", own)
		}
	})
}

// A listed host whose agent answers has no container, and gets no floods. That is so for a host on the way too,
// though etcd does not tell of hosts without containers.
func TestListedHostWithoutContainersGetsNoFloods(t *testing.T) {
	withListedAgent(t, []byte{11, 12}, func(t *testing.T, r *rig) {
		idle := otherHost(12)
		idle.Memberships = nil
		show := func() {
			r.cluster().show(append(listedMembers(11), idle)...)
			sleep(2 * gracePeriod)
		}
		show()
		want := r.entries()
		if strings.Contains(want, "00:00:00:00:00:00 198.18.0.12") {
			t.Fatalf("at first: %s", want)
		}
		r.setOptions(fromList)
		show()
		if got := r.entries(); got != want {
			t.Errorf("entries\n%s\nwant\n%s", got, want)
		}
		r.wantMove("one has no container", "from static to etcd, here [], missing [l (198.18.0.11) 198.18.0.12]")
	})
}

// A listed host without an agent is flooded to and learned from until the move ends, which it forbids. A host that
// is not listed does not become a member by the plane of those that are.
func TestListedHostsCountWhileTheNetworkMoves(t *testing.T) {
	withListedAgent(t, []byte{11}, func(t *testing.T, r *rig) {
		want := r.entries()
		if !strings.Contains(want, "00:00:00:00:00:00 198.18.0.12") ||
			!strings.Contains(want, network.BridgeMAC(100, vtep(12)).String()+" 198.18.0.12") {
			t.Fatalf("at first: %s", want)
		}
		r.setOptions(fromList)
		r.cluster().show(listedMembers(11, 13)...)
		sleep(2 * gracePeriod)
		if got := r.entries(); got != want {
			t.Errorf("entries\n%s\nwant\n%s", got, want)
		}
		if l, err := r.kernel.HostNamespace().Link("vxlan-blue", 0); err != nil || !l.Tunnel.Learning {
			t.Errorf("a host without an agent is not learned from: %+v, %v", l.Tunnel, err)
		}
		r.servers().show(listedMembers(11)...)
		r.wantMove("one is no member", "from static to etcd, here [], missing [198.18.0.12]")
		r.servers().show(listedMembers(11, 14)...) // hosts of etcd need not be listed
		sleep(time.Second)
		if got := r.entries(); !strings.Contains(got, "00:00:00:00:00:00 198.18.0.14") {
			t.Errorf("a host by etcd is no member: %s", got)
		}
		r.setOptions(toList)
		r.cluster().show(listedMembers(11, 14)...)
		r.wantMove("a host is not listed", "from etcd to static, here [], missing [o (198.18.0.14)]")
	})
}

// While the network moves, and afterwards, a container gets the address that Podman has picked from this host's
// part, and nobody else gets it. What etcd knows to be taken is refused.
func TestContainerStartsOnANetworkFromAList(t *testing.T) {
	withListedAgent(t, []byte{11, 12}, func(t *testing.T, r *rig) {
		r.setOptions(fromList)
		r.servers().show(listedMembers(11)...)
		for i, discovery := range []string{`"discovery": "etcd", "discovery_also": "static", `, `"discovery": "etcd", `} {
			status, err := r.plugin.Setup(listedAttachRequest(i+2, discovery))
			if err != nil {
				t.Fatal(err)
			}
			want := netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 3)})
			if got := status.Interfaces["eth0"].Subnets[0].IPNet.Addr(); got != want {
				t.Errorf("the container got %v", got)
			}
			r.storeChanged()
			sleep(2 * time.Second)
			own := r.servers().seen().own
			if len(own) != 1 || !slices.ContainsFunc(own[0].Endpoints, func(e cluster.Endpoint) bool {
				return slices.Contains(e.Addrs, want) && !e.Requested
			}) {
				t.Errorf("etcd has %+v, want %v", own, want)
			}
			r.setOptions(finished)
		}
		ns, q := listedAttachRequest(3, `"discovery": "etcd", `)
		q.ContainerID, q.Options = containerID(4), json.RawMessage(`{"interface_name": "eth1", "static_ips": ["10.0.0.111"]}`)
		if _, err := r.plugin.Setup(ns, q); err == nil ||
			!strings.Contains(err.Error(), "is in use by container n11 on host") ||
			!strings.Contains(err.Error(), "or without one start it again, and Podman picks the next address") {
			t.Errorf("got %v", err)
		}
	})
}

// A host with a container whose address is outside its part cannot go back to a list: the address may be one that
// another host hands out without asking.
func TestAddressOutsideThePartKeepsFromGoingBack(t *testing.T) {
	withListedAgent(t, []byte{11}, func(t *testing.T, r *rig) {
		r.setOptions(fromList)
		ns, q := listedAttachRequest(2, `"discovery": "etcd", "discovery_also": "static", `)
		q.Options = json.RawMessage(`{"interface_name": "eth0", "static_ips": ["10.0.0.200"]}`)
		if _, err := r.plugin.Setup(ns, q); err != nil {
			t.Fatal(err)
		}
		r.setOptions(toList)
		r.wantMove("on the way back", "from etcd to static, here [container c2 has the address 10.0.0.200, and "+
			"this host hands out 10.0.0.2-10.0.0.62; recreate it without --ip], missing []")
	})
}
