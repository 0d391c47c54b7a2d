package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

func parseConfig(t *testing.T, text string) config.Config {
	t.Helper()
	c, err := config.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Listed hosts are those that the networks list and those that were found, but not the host itself.
func TestListedHosts(t *testing.T) {
	static := hoststate.Network{VTEP: network.VTEP{Local: vtep(1), Remotes: []netip.Addr{vtep(2), vtep(3)}}}
	gossip := hoststate.Network{VTEP: network.VTEP{Local: vtep(1), Remotes: []netip.Addr{vtep(7), vtep(8)}}}
	gossip.Discovery, gossip.Network.Remotes = network.DiscoveryGossip, []netip.Addr{vtep(1), vtep(7), vtep(6)}
	gossip.VTEP.Own = []netip.Addr{vtep(1), vtep(6)} // a host is not asked by another of its addresses either
	s := newClusterSet(parseConfig(t, ""), planeKinds{}, slog.New(slog.DiscardHandler))
	var got []netip.Addr
	for _, seed := range s.listedHosts(netip.Addr{}, []hoststate.Network{static, gossip}) {
		got = append(got, seed.Addr())
	}
	if want := []netip.Addr{vtep(2), vtep(3), vtep(7), vtep(8)}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestDiscoveryComesWithTheAgeOfTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := parseConfig(t, "")
		s := newClusterSet(c, planeKinds{hosts: cluster.Kind{PerAddress: true}}, slog.New(slog.DiscardHandler))
		n := membership.Network{VTEP: network.VTEP{Local: vtep(1)}}
		check := func(when string, connected, graceOver, forgetOver bool) {
			t.Helper()
			d := s.DiscoveryOf(n)
			if d.Synced != connected || d.GraceOver != graceOver || d.ForgetOver != forgetOver {
				t.Errorf("%s: got %+v", when, d)
			}
		}
		check("without a cluster", false, false, false)
		plane := newFakeCluster()
		s.members[vtep(1)] = &clusterMember{Plane: plane, since: time.Now(), born: boottime.Now()}
		check("just started", false, false, false)
		time.Sleep(time.Second)
		plane.setSynced()
		check("connected", true, false, false)
		time.Sleep(gracePeriod - time.Second)
		check("after the grace period", true, true, false)
		time.Sleep(c.ForgetAfter)
		check("after hosts are forgotten", true, true, true)

		// In a suspend nothing is found out, but other hosts may be gone for good.
		s.members[vtep(1)] = &clusterMember{Plane: plane, since: time.Now(), born: boottime.Now()}
		t.Cleanup(func() { boottime.Simulated.Store(0) })
		boottime.Simulated.Store(int64(c.ForgetAfter))
		check("after a suspend", true, false, true)
	})
}

// When the host's address changes, the cluster of the old one leaves and ends, and that of the new
// one has the network.
func TestClusterOfLostAddressEnds(t *testing.T) {
	for _, otherDown := range []bool{false, true} {
		withGossipAgent(t, func(t *testing.T, r *rig) { testClusterOfLostAddress(t, r, otherDown) })
	}
}

// testClusterOfLostAddress has a second network, whose underlay is down, if asked for.
func testClusterOfLostAddress(t *testing.T, r *rig, otherDown bool) {
	r.Host.Warn = func(string) {} // of the move
	if otherDown {
		eth1 := kernel.Link{Name: "eth1", MTU: 1500, Up: true, Addrs: []kernel.Addr{{Prefix: netip.MustParsePrefix("198.19.0.10/24")}}}
		r.kernel.HostNamespace().Add(eth1)
		ns, q := gossipAttachRequest(2, "")
		q.Network = json.RawMessage(strings.NewReplacer("7c7b", "9d9d", "br-blue", "br-red", "blue", "red", `"100"`, `"200"`,
			"eth0", "eth1", "198.18.0.10", "198.19.0.10", "10.0.0.", "10.9.0.").Replace(string(q.Network)))
		if _, err := r.plugin.Setup(ns, q); err != nil {
			t.Fatal(err)
		}
		r.kernel.HostNamespace().Remove("eth1")
	}
	old, now := netip.MustParseAddr("198.18.0.10"), netip.MustParseAddr("198.18.0.20")
	ns, q := gossipAttachRequest(1, "")
	q.Network = json.RawMessage(strings.Replace(string(q.Network), "198.18.0.10", "auto", 1))
	if _, err := r.plugin.Setup(ns, q); err != nil {
		t.Fatal(err)
	}
	sleep(time.Second)
	before := r.planes[old].seen()
	host := r.kernel.HostNamespace()
	host.Remove("eth0")
	host.Add(kernel.Link{Name: "eth0", MTU: 1500, Up: true, Addrs: []kernel.Addr{{Prefix: netip.PrefixFrom(now, 24)}}})
	r.kernelEvents <- struct{}{}
	sleep(time.Second)
	if r.planes[now] == nil || before.left || !r.planes[old].seen().left || r.clusters.members[old] != nil {
		t.Fatalf("clusters %v, status %+v", r.planes, r.status())
	}
	own := r.planes[now].seen().own
	if len(own) != 1 || own[0].VTEP != now || len(own[0].Endpoints) != 1 {
		t.Errorf("publishes %+v", own)
	}
}

// A cluster whose last container is gone goes on for as long as that may be restarting. Then it
// leaves the others, and the status no longer shows it.
func TestClusterOutOfUseEnds(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.StayWhenIdle = true
		r.setup(1)
		r.startIdle()
		r.teardown(1)
		r.kernelEvents <- struct{}{}
		sleep(idleTimeout - time.Second)
		if r.cluster().seen().left || len(r.status().Clusters) != 1 {
			t.Error("the cluster has ended at once")
		}
		r.setup(1) // it was a restart
		sleep(2 * idleTimeout)
		if r.cluster().seen().left || len(r.status().Clusters) != 1 {
			t.Error("the cluster of a container that restarted has ended")
		}
		plane := r.cluster()
		r.teardown(1)
		r.storeChanged()
		sleep(idleTimeout + time.Second)
		if !plane.seen().left || len(r.status().Clusters) != 0 {
			t.Errorf("the cluster goes on: %+v", r.status().Clusters)
		}
		r.setup(1)
		r.storeChanged()
		sleep(time.Second)
		if r.cluster() == plane || len(r.status().Clusters) != 1 {
			t.Error("no new cluster was started")
		}
		r.finish()
	})
}

// Some kinds of planes have one for all networks of a host, whatever address a network has.
func TestOnePlaneServesAllNetworks(t *testing.T) {
	var made []netip.Addr
	central := cluster.Kind{Name: "central", New: func(addr netip.Addr) (cluster.Plane, error) {
		made = append(made, addr)
		return newFakeCluster(), nil
	}}
	s := newClusterSet(parseConfig(t, ""), planeKinds{hosts: central}, slog.New(slog.DiscardHandler))
	networks := make([]hoststate.Network, 2)
	for i := range networks {
		networks[i].Discovery, networks[i].VTEP.Local = network.DiscoveryGossip, vtep(byte(i+1))
	}
	groups := s.GroupByCluster(networks)
	if len(groups) != 1 || len(groups[netip.Addr{}]) != 2 {
		t.Fatalf("groups: %v", groups)
	}
	ctx, stop := context.WithCancel(t.Context())
	for range 2 {
		if err := s.StartCluster(ctx, netip.Addr{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range networks {
		if s.MemberOf(toMembership(n)) == nil {
			t.Errorf("%v has no plane", n.VTEP.Local)
		}
	}
	nobodyUses := func(netip.Addr) bool { return false }
	nobodyHasIt := func(netip.Addr) (bool, error) { return false, nil }
	if stopped, err := s.StopAbandoned(nobodyUses, nobodyHasIt); err != nil || len(stopped) > 0 || len(made) != 1 {
		t.Errorf("stopped %v, %v; made %v", stopped, err, made)
	}
	stop()
	s.wg.Wait()
}

// A host may have networks of both kinds at once. One that cannot be made does not keep the
// other from being made.
func TestPlanesOfTwoKindsAtOnce(t *testing.T) {
	made := make(map[string]netip.Addr)
	kind := func(name string, perAddress bool, err error) cluster.Kind {
		return cluster.Kind{Name: name, PerAddress: perAddress, HasServers: !perAddress,
			New: func(addr netip.Addr) (cluster.Plane, error) {
				made[name] = addr
				return newFakeCluster(), err
			}}
	}
	networks := make([]hoststate.Network, 3)
	for i, d := range []network.Discovery{network.DiscoveryGossip, network.DiscoveryEtcd, network.DiscoveryEtcd} {
		networks[i].Discovery, networks[i].VTEP.Local = d, vtep(byte(i+1))
	}
	noServers := errors.New("no servers are configured")
	for _, err := range []error{nil, noServers} {
		s := newClusterSet(parseConfig(t, ""), planeKinds{kind("gossip", true, nil), kind("etcd", false, err)},
			slog.New(slog.DiscardHandler))
		groups := s.GroupByCluster(networks)
		if len(groups) != 2 || len(groups[vtep(1)]) != 1 || len(groups[netip.Addr{}]) != 2 {
			t.Fatalf("groups: %v", groups)
		}
		ctx, stop := context.WithCancel(t.Context())
		for bind := range groups {
			if got := s.StartCluster(ctx, bind); bind.IsValid() && got != nil || !bind.IsValid() && !errors.Is(got, err) {
				t.Errorf("%v: %v", bind, got)
			}
		}
		if made["gossip"] != vtep(1) || made["etcd"].IsValid() || len(made) != 2 {
			t.Errorf("made %v", made)
		}
		if s.nameOf(netip.Addr{}) != "etcd" || s.MemberOf(toMembership(networks[0])).kind.Name != "gossip" {
			t.Error("a plane is of the wrong kind")
		}
		if m := s.MemberOf(toMembership(networks[2])); (m == nil) != (err != nil) || m != nil && m.kind.Name != "etcd" {
			t.Errorf("got %+v", m)
		}
		stop()
		s.wg.Wait()
	}
}
