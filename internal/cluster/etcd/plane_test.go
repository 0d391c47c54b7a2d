package etcd

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/cluster"
)

const (
	id1 = "00000000000000000000000000000001"
	id2 = "00000000000000000000000000000002"
)

// What etcd has of a host is read with etcdctl, so its keys and values are part of the interface.
func TestKeysOfAHost(t *testing.T) {
	servers := startServers(t, 1)
	c := servers.connect(t)
	h := startHost(t, 1, servers.urls())
	time.Sleep(200 * time.Millisecond)
	if got := dump(t, c); len(got) > 0 {
		t.Errorf("before the first Set: %v", got)
	}
	h.add("c1", "10.0.0.2")
	want := map[string]string{
		"presence/" + id1:                    `{"name":"host-1","instance":"machine-1"}`,
		"hosts/" + id1 + "/networks/42-4789": `{}`,
		"networks/42-4789/hosts/" + id1: `{"host_name":"host-1","vtep":"198.18.0.1","static_fdb":true,` +
			`"view":{"name":"blue","mtu":1450}}`,
		"networks/42-4789/hosts/" + id1 + "/c1": `{"names":["name-c1"],"addresses":["10.0.0.2"],"mac":"02:00:00:00:00:01"}`,
		"networks/42-4789/addresses/10.0.0.2":   `{"host":"` + id1 + `","host_name":"host-1","container":"c1"}`,
	}
	eventually(t, "all keys are there", func() bool { return maps.Equal(dump(t, c), want) })
	h.awaitSynced()
	h.remove("c1")
	eventually(t, "the host has nothing", func() bool { return len(dump(t, c)) == 1 })
	if err := h.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	if got := dump(t, c); len(got) > 0 {
		t.Errorf("after Leave: %v", got)
	}
}

func TestHostsSeeEachOther(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1)
	servers.connect(t)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, servers.urls())
	a.add("a1", "10.0.0.2")
	b.add("b1", "10.0.0.3")
	a.awaitSees(b, "b1[10.0.0.3]")
	b.awaitSees(a, "a1[10.0.0.2]")
	got := b.Snapshot().Members(blue)
	if len(got) != 1 || got[0].Host != "host-1 (198.18.0.1)" || got[0].VTEP != a.vtep() || !got[0].StaticFDB ||
		got[0].View.Name != "blue" || !reflect.DeepEqual(got[0].Endpoints[0], a.containers["a1"]) {
		t.Errorf("got %+v", got)
	}
	// A host that ends without a word stays, and is used again when it is back.
	a.stop()
	b.awaitSees(a, "unreachable a1[10.0.0.2]")
	if since := b.Snapshot().Hosts[0].UnreachableSince; since.IsZero() {
		t.Error("unreachable since never")
	}
	a.start(a.cfg)
	time.Sleep(300 * time.Millisecond) // an agent that starts withdraws nothing
	b.awaitSees(a, "unreachable a1[10.0.0.2]")
	a.publish()
	b.awaitSees(a, "a1[10.0.0.2]")
	// One that leaves is forgotten at once.
	if err := a.Leave(t.Context()); err != nil {
		t.Error(err)
	}
	b.awaitSees(a, "gone")
}

// A host follows only networks that it has, and takes out what it left behind in others.
func TestOnlyOwnNetworksAreFollowed(t *testing.T) {
	servers := startServers(t, 1)
	c := servers.connect(t)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, servers.urls())
	red := cluster.NetworkKey{VNI: 7, Port: 4789}
	member := cluster.Membership{Network: red, VTEP: b.vtep(), Endpoints: []cluster.Endpoint{
		{ContainerID: "b1", Addrs: []netip.Addr{netip.MustParseAddr("10.7.0.2")}, Names: []string{"x"}}}}
	if err := b.Set(cluster.Local{Memberships: []cluster.Membership{member}}); err != nil {
		t.Fatal(err)
	}
	a.join()
	a.awaitSynced()
	a.awaitSees(b, "")
	b.stop()
	b.start(b.cfg)
	b.join() // the next agent has another network
	eventually(t, "network 7 has no keys", func() bool {
		return !strings.Contains(strings.Join(slices.Collect(maps.Keys(dump(t, c))), " "), "/7-4789")
	})
	b.awaitSynced()
	b.awaitSees(a, "")
}

// A container keeps its address while its host is cut off for longer than its lease. Who gives it up is
// a person.
func TestLeaseIsTheHostsNotTheAddress(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1)
	servers.connect(t)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, servers.urls())
	a.add("a1", "10.0.0.2")
	b.join()
	b.awaitSees(a, "a1[10.0.0.2]")
	host := *b.Snapshot().Hosts[0]
	if err := b.ForgetHost(host); err == nil || err.Error() != "host host-1 (198.18.0.1) answers" {
		t.Errorf("got %v", err)
	}
	a.stop()
	b.awaitSees(a, "unreachable a1[10.0.0.2]")
	holder, err := b.claim("b1", "10.0.0.2")
	want := cluster.Holder{Host: "host-1 (198.18.0.1)", Addr: a.vtep(), Container: "name-a1", ContainerID: "a1",
		Unreachable: true}
	if err != nil || holder != want {
		t.Errorf("got %+v, %v", holder, err)
	}
	if err := b.ForgetHost(host); err != nil {
		t.Fatal(err)
	}
	b.awaitSees(a, "gone")
	if holder, err := b.claim("b1", "10.0.0.2"); err != nil || holder != (cluster.Holder{}) {
		t.Errorf("got %+v, %v", holder, err)
	}
	b.add("b1", "10.0.0.2")
	// The host was only cut off. Its container still has the address, and both are told.
	a.start(a.cfg)
	a.publish()
	b.awaitSees(a, "a1[10.0.0.2]")
	text := "address 10.0.0.2 of the network of VNI 42 is that of container a1 here, and was given to container " +
		"name-b1 on host host-2 (198.18.0.2) meanwhile; start one of them anew"
	eventually(t, "the conflict is told", func() bool { return slices.Contains(a.Health().Warnings, text) })
	a.remove("a1")
	b.awaitSees(a, "")
	eventually(t, "the host has given up the network", func() bool {
		_, err := a.claim("a2", "10.0.0.2")
		return err != nil && err.Error() == "claim addresses in etcd: network 42/4789 is not this host's"
	})
	a.join()
	if holder, err := a.claim("a2", "10.0.0.2"); err != nil || holder.ContainerID != "b1" {
		t.Errorf("after the conflict: %+v, %v", holder, err)
	}
}

// What somebody deletes in etcd comes back, addresses included.
func TestDeletedKeysComeBack(t *testing.T) {
	servers := startServers(t, 1)
	c := servers.connect(t)
	a := startHost(t, 1, servers.urls())
	a.add("a1", "10.0.0.2")
	a.awaitSynced()
	eventually(t, "all is there", func() bool { return len(dump(t, c)) == 5 })
	want := dump(t, c)
	for _, prefix := range []string{"/vxlan/v1/presence/", "/vxlan/v1/networks/42-4789/hosts/", "/vxlan/"} {
		if _, err := c.Delete(t.Context(), prefix, clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all is back after "+prefix, func() bool { return maps.Equal(dump(t, c), want) })
	}
}

// The keys that list a host's networks may have been deleted, as by whoever has taken over the host. It can
// be forgotten all the same, and its next agent writes them again.
func TestListOfNetworksIsDeleted(t *testing.T) {
	servers := startServers(t, 1)
	c := servers.connect(t)
	a, b := startHost(t, 1, servers.urls()), startHost(t, 2, servers.urls())
	a.add("a1", "10.0.0.2")
	b.join()
	b.awaitSees(a, "a1[10.0.0.2]")
	a.awaitSynced()
	list := "hosts/" + id1 + "/networks/42-4789"
	remove := func() {
		if _, err := c.Delete(t.Context(), "/vxlan/v1/"+list); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	a.restart()
	eventually(t, "the list is back", func() bool { return dump(t, c)[list] != "" })
	a.stop()
	b.awaitSees(a, "unreachable a1[10.0.0.2]")
	remove()
	if err := b.ForgetHost(*b.Snapshot().Hosts[0]); err != nil {
		t.Fatal(err)
	}
	b.awaitSees(a, "gone")
	if holder, err := b.claim("b1", "10.0.0.2"); err != nil || holder != (cluster.Holder{}) {
		t.Errorf("got %+v, %v", holder, err)
	}
}
