package membership

import (
	"net/netip"
	"slices"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

func TestPeers(t *testing.T) {
	static, gossip, group, encrypted := staticNetwork(), gossipNetwork(), staticNetwork(), staticNetwork()
	encrypted.Encryption = network.EncryptionWireGuard
	group.Tunnel.Group, group.VTEP.Remotes = netip.MustParseAddr("239.1.1.1"), nil
	flood := func(hosts ...byte) (addrs []netip.Addr) {
		for _, n := range hosts {
			addrs = append(addrs, vtep(n))
		}
		return addrs
	}
	tests := []struct {
		name  string
		local Network
		hosts []cluster.Host
		want  network.Peers
	}{
		{"static, no host known", static, nil, network.Peers{Flood: flood(2, 3)}},
		{"static, all known", static, []cluster.Host{otherHost(3), otherHost(2)}, network.Peers{Flood: flood(2, 3), StaticFDB: true}},
		{"static, one without a container", static, []cluster.Host{otherHost(2), otherHost(3, withoutContainer)}, network.Peers{Flood: flood(2), StaticFDB: true}},
		{"static, one that is gone and had no container", static, []cluster.Host{otherHost(2), otherHost(3, withoutContainer, unreachable)}, network.Peers{Flood: flood(2, 3)}},
		{"static, one unreachable", static, []cluster.Host{otherHost(2), otherHost(3, unreachable)}, network.Peers{Flood: flood(2, 3), StaticFDB: true}},
		{"static, one without an agent", static, []cluster.Host{otherHost(2)}, network.Peers{Flood: flood(2, 3)}},
		{"static, one that does not know its MACs", static, []cluster.Host{otherHost(2), otherHost(3, withUnknownMACs)}, network.Peers{Flood: flood(2, 3)}},
		{"static, one that is not listed", static, []cluster.Host{otherHost(2), otherHost(3), otherHost(4)}, network.Peers{Flood: flood(2, 3), StaticFDB: true}},
		{"gossip, no host known", gossip, nil, network.Peers{StaticFDB: true}},
		{"gossip, some with a container", gossip, []cluster.Host{otherHost(4), otherHost(2), otherHost(3, withoutContainer)}, network.Peers{Flood: flood(2, 4), StaticFDB: true}},
		{"gossip, one of the other family", gossip, []cluster.Host{otherHost(2), otherHost(3, withVTEP("fd00:1::2"))}, network.Peers{Flood: flood(2), StaticFDB: true}},
		{"gossip, the host itself", gossip, []cluster.Host{otherHost(1), otherHost(2)}, network.Peers{Flood: flood(2), StaticFDB: true}},
		{"gossip, a VTEP inside the network", gossip, []cluster.Host{otherHost(2), otherHost(3, withVTEP("10.0.0.9"))}, network.Peers{Flood: flood(2), StaticFDB: true}},
		{"encrypted, one without an agent", encrypted, []cluster.Host{otherHost(2)},
			network.Peers{Flood: flood(2), StaticFDB: true}},
		{"encrypted, one that does not know its MACs", encrypted, []cluster.Host{otherHost(2), otherHost(3, withUnknownMACs)},
			network.Peers{Flood: flood(2, 3), StaticFDB: true}},
		{"multicast group", group, []cluster.Host{otherHost(2)}, network.Peers{Flood: flood(2)}},
	}
	for _, tt := range tests {
		if got := (Discovery{Carries: everything, Snapshot: snapshot(tt.hosts...)}).Peers(tt.local, nil); !got.Equal(tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// While a network moves from a list of hosts to a plane, a listed host that neither tells of gets floods, and MACs are
// learned. One whose agent answers has no container.
func TestPeersBetweenAListAndAPlane(t *testing.T) {
	flood := func(n ...byte) (addrs []netip.Addr) {
		for _, host := range n {
			addrs = append(addrs, vtep(host))
		}
		return addrs
	}
	n := staticNetwork()
	n.Discovery, n.DiscoveryAlso, n.VTEP.Listed = network.DiscoveryEtcd, "static", n.VTEP.Remotes
	n.VTEP.Remotes = append(n.VTEP.Remotes[:2:2], vtep(9)) // an earlier turn found one
	for _, tt := range []struct {
		name             string
		merged, ofListed []cluster.Host
		want             network.Peers
	}{
		{"nobody is known", nil, nil, network.Peers{Flood: flood(2, 3)}},
		{"one is a member", []cluster.Host{otherHost(2)}, nil, network.Peers{Flood: flood(2, 3)}},
		{"the other answers", []cluster.Host{otherHost(2)}, []cluster.Host{otherHost(3, withoutContainer)},
			network.Peers{Flood: flood(2), StaticFDB: true}},
		{"the other does not any more", []cluster.Host{otherHost(2)},
			[]cluster.Host{otherHost(3, withoutContainer, unreachable)}, network.Peers{Flood: flood(2, 3)}},
		{"one by the plane alone", []cluster.Host{otherHost(2), otherHost(3), otherHost(4)}, nil,
			network.Peers{Flood: flood(2, 3, 4), StaticFDB: true}},
	} {
		d := Discovery{Carries: everything, Snapshot: snapshot(tt.merged...),
			OfListed: snapshot(tt.ofListed...), Synced: true}
		if got := d.Peers(n, nil); !got.Equal(tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
	others := snapshot(otherHost(2), otherHost(4), otherHost(3, withoutContainer))
	if got := n.ListedAlone(others).Members(n.Key()); len(got) != 1 || got[0].VTEP != vtep(2) {
		t.Errorf("of the list are %v", got)
	}
	members := snapshot(otherHost(2, unreachable), otherHost(3)).Members(n.Key())
	if got := n.Unlisted(members); !slices.Equal(got, flood(2)) {
		t.Errorf("not reached are %v", got)
	}
}

// What a control plane does not tell is made up for.
func TestPeersOfAPlaneThatLacksSomething(t *testing.T) {
	withoutMACs, withoutMembers := everything, everything
	withoutMACs.ExactForwarding, withoutMembers.Members = false, false
	hosts := snapshot(otherHost(2), otherHost(3, withoutContainer))
	for _, tt := range []struct {
		name    string
		carries cluster.Capabilities
		want    network.Peers
	}{
		{"nothing", everything, network.Peers{Flood: []netip.Addr{vtep(2)}, StaticFDB: true}},
		{"MACs: they are learned", withoutMACs, network.Peers{Flood: []netip.Addr{vtep(2)}}},
		{"members: each listed host may be one", withoutMembers, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3)}}},
	} {
		if got := (Discovery{Carries: tt.carries, Snapshot: hosts}).Peers(staticNetwork(), nil); !got.Equal(tt.want) {
			t.Errorf("lacks %s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// An agent that was killed must not cut off members that the next one has not found yet.
func TestConverged(t *testing.T) {
	static, gossip := staticNetwork(), gossipNetwork()
	unheard := []netip.Addr{vtep(3)}
	tests := []struct {
		name  string
		local Network
		d     Discovery
		want  bool
	}{
		{"not connected", static, Discovery{}, false},
		{"never connected", static, Discovery{GraceOver: true}, true},
		{"never connected, without a list", gossip, Discovery{GraceOver: true}, false},
		{"one host missing", gossip, Discovery{Synced: true, Unheard: unheard, Snapshot: snapshot(otherHost(2))}, false},
		{"all hosts known", gossip, Discovery{Synced: true, Snapshot: snapshot(otherHost(2), otherHost(3, withoutContainer))}, true},
		{"one host heard of, and gone", gossip, Discovery{Synced: true, Snapshot: snapshot(otherHost(2))}, true},
		{"one host missing for long", gossip, Discovery{Synced: true, GraceOver: true, Unheard: unheard, Snapshot: snapshot(otherHost(2))}, true},
	}
	for _, tt := range tests {
		if got := tt.d.Converged(tt.local); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
	if !slices.Equal(static.VTEP.Remotes, []netip.Addr{vtep(2), vtep(3)}) {
		t.Errorf("the list became %v", static.VTEP.Remotes)
	}
}

func TestRecordedPeersStayUntilTheyAreKnown(t *testing.T) {
	static, gossip := staticNetwork(), gossipNetwork()
	gossip.VTEP.Flood = []netip.Addr{vtep(2), vtep(7)}
	recorded, unheard := &network.Peers{Flood: []netip.Addr{vtep(2), vtep(7)}, StaticFDB: false, WireGuard: "wg0-blue",
		WireGuardAddrs: []netip.AddrPort{netip.AddrPortFrom(vtep(2), 51820)}}, []netip.Addr{vtep(7)}
	known := snapshot(otherHost(2), otherHost(3))
	tests := []struct {
		name  string
		local Network
		d     Discovery
		want  network.Peers
	}{
		{"not converged: all stay, and learning", gossip, Discovery{Carries: everything, Unheard: unheard, Synced: true, Snapshot: known}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3), vtep(7)}}},
		{"converged: the unheard of stay", gossip, Discovery{Carries: everything, Unheard: unheard, Synced: true, GraceOver: true, Snapshot: known}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3), vtep(7)}, StaticFDB: true}},
		{"to be forgotten", gossip, Discovery{Carries: everything, Unheard: unheard, Synced: true, GraceOver: true, ForgetOver: true, Snapshot: known}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3)}, StaticFDB: true}},
		{"with a static list", static, Discovery{Carries: everything, Unheard: unheard, Synced: true, GraceOver: true, Snapshot: known}, network.Peers{Flood: []netip.Addr{vtep(2), vtep(3)}, StaticFDB: true}},
	}
	for _, tt := range tests {
		tt.want.WireGuard, tt.want.WireGuardAddrs = recorded.WireGuard, recorded.WireGuardAddrs
		if got := tt.d.Peers(tt.local, recorded); !got.Equal(tt.want) {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
