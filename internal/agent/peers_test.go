package agent

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/network"
)

// other is a host that talks by its VTEP's address and has a container in the network of local.
func other(n byte, change ...func(*cluster.Host)) cluster.Host {
	h := cluster.Host{Name: string(rune('a' + n)), Addr: vtep(n), Memberships: []cluster.Membership{{
		Network: cluster.NetworkKey{VNI: 100, Port: 4789}, VTEP: vtep(n), StaticFDB: true,
	}}}
	for _, c := range change {
		c(&h)
	}
	return h
}

func hidden(h *cluster.Host)    { h.UnreachableSince = time.Unix(1, 0) }
func elsewhere(h *cluster.Host) { h.Memberships = nil }
func inexact(h *cluster.Host)   { h.Memberships[0].StaticFDB = false }

func TestPeersOf(t *testing.T) {
	static := local()
	found := local()
	found.Gossip, found.VTEP.Remotes = true, nil
	group := local()
	group.Tunnel.Group, group.VTEP.Remotes = netip.MustParseAddr("239.1.1.1"), nil
	six := netip.MustParseAddr("fd00:1::2")
	tests := []struct {
		name  string
		local hoststate.Network
		hosts []cluster.Host
		want  network.Peers
	}{
		{"static, nobody known", static, nil, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3)}}},
		{"static, all known", static, []cluster.Host{other(3), other(2)}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3)}, StaticFDB: true}},
		{"static, one without a container", static, []cluster.Host{other(2), other(3, elsewhere)}, network.Peers{Flood: []netip.Addr{vtep(2)}, StaticFDB: true}},
		{"static, one that has gone and had none", static, []cluster.Host{other(2), other(3, elsewhere, hidden)}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3)}}},
		{"static, one hidden", static, []cluster.Host{other(2), other(3, hidden)}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3)}, StaticFDB: true}},
		{"static, one without an agent", static, []cluster.Host{other(2)}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3)}}},
		{"static, one that does not know its MACs", static, []cluster.Host{other(2), other(3, inexact)}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3)}}},
		{"static, one that is not listed", static, []cluster.Host{other(2), other(3), other(4)}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3)}, StaticFDB: true}},
		{"gossip, nobody", found, nil, network.Peers{StaticFDB: true}},
		{"gossip", found, []cluster.Host{other(4), other(2), other(3, elsewhere)}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(4)}, StaticFDB: true}},
		{"gossip, of the other family", found, []cluster.Host{other(2), other(3, func(h *cluster.Host) { h.Memberships[0].VTEP = six })}, network.Peers{Flood: []netip.Addr{vtep(2)}, StaticFDB: true}},
		{"gossip, itself", found, []cluster.Host{other(1), other(2)}, network.Peers{Flood: []netip.Addr{vtep(2)}, StaticFDB: true}},
		{"gossip, one in the network itself", found, []cluster.Host{other(2), other(3, func(h *cluster.Host) { h.Memberships[0].VTEP = netip.MustParseAddr("10.0.0.9") })}, network.Peers{Flood: []netip.Addr{vtep(2)}, StaticFDB: true}},
		{"group", group, []cluster.Host{other(2)}, network.Peers{Flood: []netip.Addr{vtep(2)}}},
	}
	for _, tt := range tests {
		if got := peersOf(tt.local, cluster.Snapshot{Hosts: tt.hosts}); !got.Equal(tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// An agent that was killed must not take from members what is sent to them, because it
// has not found them yet.
func TestSettled(t *testing.T) {
	open, closed := make(chan struct{}), make(chan struct{})
	close(closed)
	static := local()
	static.VTEP.Flood = []netip.Addr{vtep(2), vtep(3)}
	found := static
	found.Gossip = true
	start := time.Now()
	tests := []struct {
		name  string
		local hoststate.Network
		ready chan struct{}
		hosts []cluster.Host
		after time.Duration
		want  bool
	}{
		{"not connected", static, open, nil, time.Second, false},
		{"never connected", static, open, nil, settling, true},
		{"never connected, without a list", found, open, nil, time.Hour, false},
		{"one missing", found, closed, []cluster.Host{other(2)}, time.Second, false},
		{"all there", found, closed, []cluster.Host{other(2), other(3, elsewhere)}, time.Second, true},
		{"one missing for long", found, closed, []cluster.Host{other(2)}, settling, true},
	}
	for _, tt := range tests {
		r := &running{Cluster: &fakeCluster{ready: tt.ready, shown: cluster.Snapshot{Hosts: tt.hosts}}, since: start}
		if got := r.settled(tt.local, start.Add(tt.after)); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
	if (*running)(nil).settled(static, start) {
		t.Error("without a cluster all is settled")
	}
	if !slices.Equal(static.VTEP.Remotes, []netip.Addr{vtep(2), vtep(3)}) {
		t.Errorf("the list became %v", static.VTEP.Remotes)
	}
}
