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

// forwarded returns the tables that follow from a snapshot.
func forwarded(n Network, s cluster.Snapshot) kernel.ForwardingTables {
	return plan.Forward(n.Network, n.VTEP, plan.Known{Remotes: NewRoster(n, s).Remotes()}).Tables
}

// A host on the list probes for an address before it is a member, and must be answered.
func TestBridgesOfListedHostsAreForwardedTo(t *testing.T) {
	n := staticNetwork()
	n.VTEP.Remotes = []netip.Addr{netip.MustParseAddr("198.18.0.2")}
	want := []kernel.FDB{{MAC: network.BridgeMAC(100, n.VTEP.Remotes[0]), Dst: n.VTEP.Remotes[0]}}
	if got := forwarded(n, snapshot()).FDB; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
	n.Discovery = network.DiscoveryGossip
	if got := forwarded(n, snapshot()).FDB; len(got) > 0 {
		t.Errorf("seeds are forwarded to: %v", got)
	}
}

// A container may have moved away from an unreachable host.
func TestReachableHostsComeFirst(t *testing.T) {
	n := gossipNetwork()
	container := func(last byte) func(*cluster.Host) {
		return withEndpoints(cluster.Endpoint{ContainerID: "c", MAC: kernel.MAC{2, 7}},
			cluster.Endpoint{ContainerID: "d", MAC: kernel.MAC{2, last}})
	}
	s := snapshot(otherHost(2, container(2), unreachable), otherHost(3, container(3)))
	for _, tt := range []struct {
		staticFDB bool
		want      []kernel.FDB
	}{
		{true, []kernel.FDB{{MAC: kernel.MAC{2, 2}, Dst: vtep(2)}, {MAC: kernel.MAC{2, 3}, Dst: vtep(3)}, {MAC: kernel.MAC{2, 7}, Dst: vtep(3)}}},
		{false, []kernel.FDB{{MAC: kernel.MAC{2, 3}, Dst: vtep(3)}, {MAC: kernel.MAC{2, 7}, Dst: vtep(3)}}}, // the other is left to learning
	} {
		n.VTEP.StaticFDB = tt.staticFDB
		if got := forwarded(n, s).FDB; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("static FDB %v: got %v, want %v", tt.staticFDB, got, tt.want)
		}
	}
}
