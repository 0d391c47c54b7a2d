package membership

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

// withView is a host that set up staticNetwork as this one did, but for what change says.
func withView(change func(*cluster.Membership)) func(*cluster.Host) {
	return func(h *cluster.Host) {
		h.Memberships[0].View = viewOf(staticNetwork())
		change(&h.Memberships[0])
	}
}

func withList(hosts ...netip.Addr) func(*cluster.Membership) {
	return func(m *cluster.Membership) { m.View.SetList(hosts) }
}

func manyHosts(n int) (hosts []netip.Addr) {
	for a := vtep(1); len(hosts) < n; a = a.Next() {
		hosts = append(hosts, a)
	}
	return hosts
}

func TestDifferences(t *testing.T) {
	const prefix = "network blue differs on host c (198.18.0.2): "
	n := staticNetwork()
	n.Remotes, n.VTEP.MTU, n.VTEP.UnderlayMTU = []netip.Addr{vtep(2), vtep(3)}, 1450, 1500
	same := viewOf(n)
	tests := []struct {
		name   string
		change func(*cluster.Membership)
		want   []string // harmful ones begin with "!"
	}{
		{"nothing", func(*cluster.Membership) {}, nil},
		{"its list lacks itself, and has this host", withList(vtep(1), vtep(2), vtep(3)), nil},
		{"an early version", func(m *cluster.Membership) { m.View = cluster.NetworkView{} }, nil},
		{"MTU unknown", func(m *cluster.Membership) { m.View.MTU, m.View.UnderlayMTU = 0, 0 }, nil},
		{"VNI", func(m *cluster.Membership) { m.Network.VNI = 101 }, []string{"!the VNI is 101 there and 100 here"}},
		{"port", func(m *cluster.Membership) { m.Network.Port = 8472 }, []string{"!the VXLAN port is 8472 there and 4789 here"}},
		{"port and name", func(m *cluster.Membership) { m.Network.Port, m.View.Name = 8472, "red" }, []string{"!the VXLAN port is 8472 there"}},
		{"another network on another port", func(m *cluster.Membership) {
			m.Network.Port, m.View.Name = 8472, "red"
			m.View.Subnets = []cluster.Subnet{{Prefix: netip.MustParsePrefix("10.1.0.0/24")}}
		}, nil},
		{"name", func(m *cluster.Membership) { m.View.Name = "red" }, []string{"it is called red there"}},
		{"subnet", func(m *cluster.Membership) {
			m.View.Subnets = []cluster.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/23"), Gateway: same.Subnets[0].Gateway}}
		}, []string{"!the subnet is 10.0.0.0/23 there and 10.0.0.0/24 here"}},
		{"one subnet more", func(m *cluster.Membership) {
			m.View.Subnets = append(slices.Clone(same.Subnets), cluster.Subnet{Prefix: netip.MustParsePrefix("fd00::/64")})
		}, []string{"!the subnet is 10.0.0.0/24,fd00::/64 there and 10.0.0.0/24 here"}},
		{"gateway", func(m *cluster.Membership) {
			m.View.Subnets = []cluster.Subnet{{Prefix: same.Subnets[0].Prefix, Gateway: netip.MustParseAddr("10.0.0.254")}}
		}, []string{"!the gateway of 10.0.0.0/24 is 10.0.0.254 there and 10.0.0.1 here"}},
		{"no gateway", func(m *cluster.Membership) {
			m.View.Subnets = []cluster.Subnet{{Prefix: same.Subnets[0].Prefix}}
		}, []string{"!the gateway of 10.0.0.0/24 is none there"}},
		{"MTU", func(m *cluster.Membership) { m.View.MTU = 8950 }, []string{"!the MTU is 8950 there and 1450 here; type on both: vxlanctl network set blue mtu=1450"}},
		{"MTU of the underlay", func(m *cluster.Membership) { m.View.UnderlayMTU = 9000 }, []string{"the MTU of the physical interface is 9000 there and 1500 here"}},
		{"a host that is not listed here", withList(vtep(1), vtep(2), vtep(3), vtep(4)), []string{"remote_ips has 198.18.0.4 there and not here"}},
		{"a host that is not listed there", withList(vtep(1), vtep(2)), []string{"remote_ips has 198.18.0.3 here and not there"}},
		{"both", withList(vtep(1), vtep(2), vtep(9)), []string{"remote_ips has 198.18.0.9 there and not here", "remote_ips has 198.18.0.3 here and not there"}},
		{"no list", func(m *cluster.Membership) { m.View.List, m.View.Listed = cluster.ListHash{}, nil }, []string{"hosts are found by gossip or multicast there and listed in remote_ips here"}},
		{"a long list", withList(manyHosts(cluster.MaxListed + 1)...), []string{"remote_ips has other hosts there than here"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := otherHost(2, withView(func(m *cluster.Membership) {
				m.View = same
				tt.change(m)
			}))
			got := new(Differences).Find(n, snapshot(h))
			if len(got) != len(tt.want) {
				t.Fatalf("got %+v, want %q", got, tt.want)
			}
			for i, want := range tt.want {
				text, harmful := strings.CutPrefix(want, "!")
				if !strings.HasPrefix(got[i].Text, prefix+text) || got[i].Harmful != harmful {
					t.Errorf("got %+v, want %q", got[i], want)
				}
			}
			if got := new(Differences).Find(n, snapshot(func() cluster.Host { unreachable(&h); return h }())); len(got) > 0 {
				t.Errorf("of an unreachable host: %+v", got)
			}
		})
	}
}

// A host that this one does not list, and that lists this one, has no other part in the network.
func TestDifferencesOfUnlistedHost(t *testing.T) {
	n := staticNetwork()
	n.Remotes = []netip.Addr{vtep(2), vtep(3)}
	stranger := otherHost(4, withView(withList(vtep(1), vtep(2), vtep(4))))
	got := new(Differences).Find(n, snapshot(stranger))
	if len(n.Members(snapshot(stranger))) > 0 || len(got) != 2 || !strings.Contains(got[0].Text, "remote_ips has 198.18.0.4 there and not here; if it is a host of the network, type here: ") {
		t.Errorf("got %+v", got)
	}
}

// Hosts that find each other have seeds, which may differ.
func TestDifferencesOfSeedsAreNone(t *testing.T) {
	n := gossipNetwork()
	n.Remotes = []netip.Addr{vtep(2)}
	h := otherHost(2, withView(func(m *cluster.Membership) { m.View = viewOf(n) }))
	n.Remotes = []netip.Addr{vtep(3)}
	if got := new(Differences).Find(n, snapshot(h)); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
}

// A record of this host's own ID is what it said at another address, not another host's view.
func TestHostDoesNotDifferFromItself(t *testing.T) {
	s := snapshot(otherHost(2, withView(func(m *cluster.Membership) { m.View.MTU = 1400 })))
	s.Hosts[0].ID = cluster.HostID{1}
	n := staticNetwork()
	n.VTEP.MTU = 1450
	if got := new(Differences).Find(n, s); len(got) != 1 {
		t.Fatalf("of another host: %v", got)
	}
	s.Self = cluster.HostID{1}
	if got := new(Differences).Find(n, s); len(got) > 0 {
		t.Errorf("got %v", got)
	}
}

// A host that has the network without encryption gets no packets, and its own are dropped. That its MTU is another
// follows from that.
func TestEncryptionDiffers(t *testing.T) {
	plain := staticNetwork()
	plain.VTEP.MTU, plain.VTEP.UnderlayMTU = 1450, 1500
	secret := plain
	secret.Encryption, secret.VTEP.MTU = network.EncryptionWireGuard, 1390
	keys := []cluster.TunnelKey{{Generation: 1, Port: 51820}}
	tests := []struct {
		name         string
		here, there  Network
		keys         []cluster.TunnelKey
		what, hasNot string
	}{
		{"encrypted there", plain, secret, keys, "encryption is wireguard there and off here", "MTU"},
		{"encrypted there, of the same MTU", plain, plain, keys, "encryption is wireguard there and off here", "MTU"},
		{"encrypted here", secret, plain, nil, "encryption is off there and wireguard here", "MTU"},
		{"encrypted on both", secret, secret, keys, "", "encryption"},
		{"encrypted on both, without a key yet", secret, secret, nil, "", "encryption"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := otherHost(2, func(h *cluster.Host) {
				h.Memberships[0].View, h.Memberships[0].Keys = viewOf(tt.there), tt.keys
			})
			var got string
			for _, d := range new(Differences).Find(tt.here, snapshot(h)) {
				got += d.Text + "\n"
			}
			if !strings.Contains(got, tt.what) || strings.Contains(got, tt.hasNot) {
				t.Errorf("want %q and nothing of %q, got %q", tt.what, tt.hasNot, got)
			}
		})
	}
}
