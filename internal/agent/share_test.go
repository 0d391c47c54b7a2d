package agent

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/store"
)

func local() hoststate.Network {
	return hoststate.Network{
		Network: network.Network{
			Identity: network.Identity{ID: "n1", Name: "blue", Bridge: network.DeviceName{Name: "br0"}},
			Tunnel:   kernel.Tunnel{VNI: 100, Port: 4789}, DNS: true,
			Subnets: []network.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1"), HostAddress: netip.MustParseAddr("10.0.0.63")}},
		},
		VTEP: network.VTEP{Local: vtep(1), Remotes: []netip.Addr{vtep(2), vtep(3)}},
		Endpoints: []*store.Record{{Endpoint: network.Endpoint{
			ContainerID: strings.Repeat("ab", 32), ContainerName: "web", Aliases: []string{"www", "web", "no name"},
			Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}, MAC: kernel.MAC{2, 1},
		}}},
	}
}

func vtep(n byte) netip.Addr { return netip.AddrFrom4([4]byte{198, 18, 0, n}) }

func TestAttachmentsAreValidAndSayWhatThereIs(t *testing.T) {
	odd := &store.Record{Endpoint: network.Endpoint{ContainerID: "x", MAC: kernel.MAC{1}}}
	l := local()
	l.Endpoints = append(l.Endpoints, odd)
	got, err := cluster.Canonical(attachments([]hoststate.Network{l}, new(tellings)))
	if err != nil || len(got) != 1 || len(got[0].Endpoints) != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if got[0].StaticFDB {
		t.Error("the host says that it has told all MACs")
	}
	if names := got[0].Endpoints[0].Names; !reflect.DeepEqual(names, []string{"web", "www", "abababababab"}) {
		t.Errorf("names %q", names)
	}
}

// Hosts that cannot be reached keep their entries, which are not answered.
func TestZonesHaveTheContainersOfReachableHosts(t *testing.T) {
	member := func(name string, since time.Time) cluster.Host {
		return cluster.Host{Name: name, UnreachableSince: since, Memberships: []cluster.Membership{{
			Network: cluster.NetworkKey{VNI: 100, Port: 4789}, VTEP: vtep(2), Endpoints: []cluster.Endpoint{{Names: []string{"on-" + name}}},
		}}}
	}
	know := func(hoststate.Network) cluster.Snapshot {
		return cluster.Snapshot{Hosts: []cluster.Host{member("b", time.Time{}), member("c", time.Unix(1, 0))}}
	}
	host := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}
	z := zones([]hoststate.Network{local()}, know, host, new(tellings))
	if len(z) != 1 || len(z[0].Records) != 2 || z[0].Records[1].Names[0] != "on-b" {
		t.Fatalf("got %+v", z)
	}
	if !reflect.DeepEqual(z[0].Addrs, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.63")}) {
		t.Errorf("listens on %v", z[0].Addrs)
	}
	internal, own, mute := local(), local(), local()
	internal.Internal = true
	own.DNSServers = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	mute.DNS = false
	z = zones([]hoststate.Network{local(), internal, own, mute}, know, host, new(tellings))
	if len(z) != 3 || z[0].Upstreams[0] != host[0] || z[1].Upstreams != nil || z[2].Upstreams[0].String() != "192.0.2.1:53" {
		t.Errorf("got %+v", z)
	}
}

// A host is believed as far as its own containers go: a name that it gives leads to nobody outside the network,
// to no gateway and to nothing that is here.
func TestZonesLeaveOutWhatAnotherHostCannotHave(t *testing.T) {
	var claims []netip.Addr
	for _, a := range []string{"10.0.0.70", "169.254.169.254", "8.8.8.8", "fd00::1", "10.0.0.1", "10.0.0.63", "10.0.0.2"} {
		claims = append(claims, netip.MustParseAddr(a))
	}
	know := func(hoststate.Network) cluster.Snapshot {
		return cluster.Snapshot{Hosts: []cluster.Host{{Name: "b", Memberships: []cluster.Membership{{
			Network: cluster.NetworkKey{VNI: 100, Port: 4789}, VTEP: vtep(2), Endpoints: []cluster.Endpoint{{Names: []string{"db"}, Addrs: claims}},
		}}}}}
	}
	z := zones([]hoststate.Network{local()}, know, nil, new(tellings))
	if got := z[0].Records[1].Addrs; !reflect.DeepEqual(got, claims[:1]) {
		t.Errorf("db is at %v", got)
	}
}

func TestHostNameIsValidAndTellsHostsApart(t *testing.T) {
	for _, host := range []string{"", "web1.example.com", strings.Repeat("x", 300), "ümlaut"} {
		for _, addr := range []string{"198.18.0.1", "2001:db8:1111:2222:3333:4444:5555:6666", "fe80::1"} {
			name := HostName(host, netip.MustParseAddr(addr))
			if err := cluster.CheckName(name); err != nil || len(name) > 64 {
				t.Errorf("%q %s: %q: %v", host, addr, name, err)
			}
		}
	}
	if got := HostName("web1.example.com", netip.MustParseAddr("198.18.0.1")); got != "web1.198.18.0.1" {
		t.Errorf("got %s", got)
	}
}

// A host of the list asks for an address before it is a member, and must be answered.
func TestBridgesOfListedHostsAreFound(t *testing.T) {
	l := local()
	l.VTEP.Remotes = []netip.Addr{netip.MustParseAddr("198.18.0.2")}
	want := []plan.Remote{{MAC: network.BridgeMAC(100, l.VTEP.Remotes[0]), VTEP: l.VTEP.Remotes[0]}}
	if got := remotes(l, cluster.Snapshot{}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	l.Gossip = true
	if got := remotes(l, cluster.Snapshot{}); len(got) > 0 {
		t.Errorf("seeds are forwarded to: %v", got)
	}
}
