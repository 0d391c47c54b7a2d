package inventory

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/store"
)

const gossipNetwork = `{"name": "blue", "driver": "vxlan", "id": "7c7b",
  "options": {"vni": "100", "local_ip": "auto", "discovery": "gossip", "physical_interface": "auto"},
  "subnets": [{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}], "dns_enabled": true}`

var vtep = netip.MustParseAddr

func testNetwork(t *testing.T, endpoints ...network.Endpoint) hoststate.Network {
	t.Helper()
	n, err := network.ParseStored([]byte(gossipNetwork))
	if err != nil {
		t.Fatal(err)
	}
	local := hoststate.Network{Network: n, VTEP: network.VTEP{Local: vtep("198.18.0.1"), Interface: "eth0", MTU: 1450}}
	for _, e := range endpoints {
		local.Endpoints = append(local.Endpoints, &store.Record{Endpoint: e})
	}
	return local
}

func container(id, name, addr string) network.Endpoint {
	e := network.Endpoint{ContainerID: id, ContainerName: name}
	if addr != "" {
		e.Addrs = []netip.Prefix{netip.MustParsePrefix(addr + "/24")}
	}
	return e
}

func otherHost(number byte, unreachable time.Time, endpoints ...cluster.Endpoint) *cluster.Host {
	addr := netip.AddrFrom4([4]byte{198, 18, 0, number})
	return &cluster.Host{ID: cluster.HostID{number}, Name: fmt.Sprint("host-", number), Addr: addr, UnreachableSince: unreachable, Memberships: []cluster.Membership{
		{Network: cluster.NetworkKey{VNI: 100, Port: 4789}, VTEP: addr, Endpoints: endpoints},
	}}
}

// Containers of hosts that do not answer have no names, and those that are about to get an address
// show it.
func TestDescribe(t *testing.T) {
	n := testNetwork(t, container("c1", "web", "10.0.0.2"), container("c2", "new", ""))
	named := func(id, name, addr string) cluster.Endpoint {
		return cluster.Endpoint{ContainerID: id, Names: []string{name}, MAC: kernel.MAC{2, 1}, Addrs: []netip.Addr{vtep(addr)}}
	}
	s := cluster.Snapshot{Hosts: []*cluster.Host{
		otherHost(2, time.Time{}, named("d1", "db", "10.0.0.3"), cluster.Endpoint{ContainerID: "d2", Addrs: []netip.Addr{vtep("10.0.0.4")}}),
		otherHost(3, time.Now(), named("f1", "lost", "10.0.0.5")),
	}}
	got := Describe(Known{
		Host: "host-1", Network: Membership(n), Others: s, Claims: map[string][]netip.Addr{"c2": {vtep("10.0.0.9")}},
	}).Whole()
	var endpoints, names []string
	for _, e := range got.Endpoints {
		endpoints = append(endpoints, fmt.Sprint(e.Container, " ", e.Addrs, " ", e.Host, " ", e.State))
	}
	for _, name := range got.Names {
		names = append(names, fmt.Sprint(name.Name, name.Addrs))
	}
	if want := []string{
		"d2 [10.0.0.4] host-2 (198.18.0.2) claiming", "db [10.0.0.3] host-2 (198.18.0.2) up", "lost [10.0.0.5] host-3 (198.18.0.3) unreachable",
		"new [10.0.0.9] host-1 claiming", "web [10.0.0.2] host-1 up",
	}; !slices.Equal(endpoints, want) {
		t.Errorf("endpoints %q", endpoints)
	}
	if slices.Contains(names, "lost[10.0.0.5]") || !slices.Contains(names, "db[10.0.0.3]") || !slices.Contains(names, "web[10.0.0.2]") {
		t.Errorf("names %q", names)
	}
	if got.Discovery != "gossip" || got.Subnets[0].First != vtep("10.0.0.0") || len(got.Subnets[0].Slices) > 0 || len(got.Subnets[0].Unusable) != 3 {
		t.Errorf("got %+v", got)
	}
}

// Without an agent nobody answers names, and nothing is known of others.
func TestWithoutAgent(t *testing.T) {
	got := WithoutAgent("host-1", []hoststate.Network{testNetwork(t, container("c1", "web", "10.0.0.2"))})
	n := got.Networks[0]
	if len(n.Names) > 0 || len(n.Hosts) != 1 || !n.Hosts[0].Self || len(n.Endpoints) != 1 || n.Endpoints[0].State != agentapi.EndpointUp {
		t.Errorf("got %+v", n)
	}
}

func TestElsewhere(t *testing.T) {
	far := otherHost(2, time.Time{})
	far.Memberships[0].Network.VNI, far.Memberships[0].View.Name = 200, "far"
	s := cluster.Snapshot{Hosts: []*cluster.Host{far, otherHost(3, time.Time{})}}
	got := Elsewhere([]membership.Network{Membership(testNetwork(t))}, []cluster.Snapshot{s})
	if len(got) != 1 || got[0].Name != "far" || got[0].VNI != 200 || !slices.Equal(got[0].Hosts, []string{"host-2 (198.18.0.2)"}) {
		t.Errorf("got %+v", got)
	}
}
