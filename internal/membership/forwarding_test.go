package membership

import (
	"net/netip"
	"reflect"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// A host on the list probes for an address before it is a member, and must be answered.
func TestBridgesOfListedHostsAreForwardedTo(t *testing.T) {
	n := staticNetwork()
	n.VTEP.Remotes = []netip.Addr{netip.MustParseAddr("198.18.0.2")}
	want := []plan.Remote{{MAC: network.BridgeMAC(100, n.VTEP.Remotes[0]), VTEP: n.VTEP.Remotes[0]}}
	if got := (Discovery{}).Forwarding(n).Remotes; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	n.Gossip = true
	if got := (Discovery{}).Forwarding(n).Remotes; len(got) > 0 {
		t.Errorf("seeds are forwarded to: %v", got)
	}
}

// A container may have moved away from an unreachable host.
func TestReachableHostsComeFirst(t *testing.T) {
	n := gossipNetwork()
	container := func(last byte) func(*cluster.Host) {
		return withEndpoints(cluster.Endpoint{ContainerID: "c", MAC: kernel.MAC{2, last}})
	}
	d := Discovery{Snapshot: snapshot(otherHost(2, container(2), unreachable), otherHost(3, container(3)))}
	for _, tt := range []struct {
		staticFDB bool
		want      []netip.Addr // the VTEPs, of bridge and container each
	}{
		{true, []netip.Addr{vtep(3), vtep(3), vtep(2), vtep(2)}},
		{false, []netip.Addr{vtep(3), vtep(3)}}, // the other is left to learning
	} {
		n.VTEP.StaticFDB = tt.staticFDB
		var got []netip.Addr
		for _, r := range d.Forwarding(n).Remotes {
			got = append(got, r.VTEP)
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("static FDB %v: got %v, want %v", tt.staticFDB, got, tt.want)
		}
	}
}
