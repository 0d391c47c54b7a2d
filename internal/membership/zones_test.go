package membership

import (
	"net/netip"
	"reflect"
	"testing"

	"vxlan-driver/internal/cluster"
)

// Unreachable hosts keep their entries, which are not answered.
func TestZonesHaveTheContainersOfReachableHosts(t *testing.T) {
	b := otherHost(2, withEndpoints(cluster.Endpoint{Names: []string{"on-b"}}))
	c := otherHost(3, withEndpoints(cluster.Endpoint{Names: []string{"on-c"}}), unreachable)
	hostUpstreams := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}
	z := Zones([]Network{staticNetwork()}, always(snapshot(b, c)), hostUpstreams)
	if len(z) != 1 || len(z[0].Records) != 1 || len(z[0].Remote) != 1 || z[0].Remote[0].Records[0].Names[0] != "on-b" {
		t.Fatalf("got %+v", z)
	}
	if !reflect.DeepEqual(z[0].Addrs, []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.63")}) {
		t.Errorf("listens on %v", z[0].Addrs)
	}
}

func TestUpstreamsOfZones(t *testing.T) {
	hostUpstreams := []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")}
	internal, own, nameless := staticNetwork(), staticNetwork(), staticNetwork()
	internal.Internal = true
	own.DNSServers = []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	nameless.DNS = false
	z := Zones([]Network{staticNetwork(), internal, own, nameless}, always(snapshot()), hostUpstreams)
	if len(z) != 3 || z[0].Upstreams[0] != hostUpstreams[0] || z[1].Upstreams != nil || z[2].Upstreams[0].String() != "192.0.2.1:53" {
		t.Errorf("got %+v", z)
	}
	if z[0].Internal || !z[1].Internal || z[2].Internal {
		t.Errorf("the second is internal, got %+v", z)
	}
}

// A host is trusted as far as its own containers go: a name that it publishes leads to nobody
// outside the network, to no gateway and to nothing that is here.
func TestZonesLeaveOutWhatAnotherHostCannotHave(t *testing.T) {
	var addrs []netip.Addr
	for _, a := range []string{"10.0.0.70", "169.254.169.254", "8.8.8.8", "fd00::1", "10.0.0.1", "10.0.0.63", "10.0.0.2"} {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	b := otherHost(2, withEndpoints(cluster.Endpoint{Names: []string{"db"}, Addrs: addrs}))
	z := Zones([]Network{staticNetwork()}, always(snapshot(b)), nil)
	if got := z[0].Remote[0].Records[0].Addrs; !reflect.DeepEqual(got, addrs[:1]) {
		t.Errorf("db is at %v", got)
	}
}
