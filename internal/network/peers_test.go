package network

import (
	"net/netip"
	"slices"
	"testing"
)

// A static network takes packets from the hosts of its list, whatever the agent knows. A gossip
// network has no list, and takes them from the hosts that the agent knows.
func TestPeersPlaceKeepsStaticListAsSenders(t *testing.T) {
	a, b := netip.MustParseAddr("198.18.0.11"), netip.MustParseAddr("198.18.0.12")
	own := netip.MustParseAddr("10.0.0.9")
	p := Peers{Flood: []netip.Addr{b}, StaticFDB: true, AgentPort: 7947, HostAddrs: []netip.Addr{own},
		WireGuard:      "wg0-blue",
		WireGuardAddrs: []netip.AddrPort{netip.AddrPortFrom(b, 51820)}}
	tests := []struct {
		name    string
		network Network
		remotes []netip.Addr
		host    netip.Addr
	}{
		{"static", Network{}, []netip.Addr{a, b}, netip.Addr{}},
		{"gossip", Network{Discovery: DiscoveryGossip}, []netip.Addr{b}, own},
		{"between a list and etcd", Network{Discovery: DiscoveryEtcd, DiscoveryAlso: alsoStatic}, []netip.Addr{a, b}, own},
		{"encrypted", Network{Encryption: EncryptionWireGuard}, []netip.Addr{a, b}, netip.Addr{}},
	}
	for _, tt := range tests {
		n, v := tt.network, VTEP{Remotes: []netip.Addr{a, b}, Listed: []netip.Addr{a}, Flood: []netip.Addr{a, b}}
		n.Subnets = []Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24")}}
		p.Place(&n, &v)
		if !slices.Equal(v.Remotes, tt.remotes) || !slices.Equal(v.Flood, p.Flood) || !v.StaticFDB || v.AgentPort != 7947 || n.Subnets[0].HostAddress != tt.host {
			t.Errorf("%s: got %+v, host %v", tt.name, v, n.Subnets[0].HostAddress)
		}
		if n.Encrypts() != (v.WireGuard == "wg0-blue") || n.Encrypts() != slices.Equal(v.WireGuardAddrs, p.WireGuardAddrs) {
			t.Errorf("%s: packets leave by %q for %v", tt.name, v.WireGuard, v.WireGuardAddrs)
		}
	}
}

// Complete makes Podman leave the addresses of such a network to the plugin.
func TestGossipNetworkNeedsNoHostList(t *testing.T) {
	data := exampleNetwork(map[string]string{"discovery": "gossip", "-remote_ips": ""}, nil)
	n, v, err := Parse(data, testHost, VTEP{})
	if err != nil || !n.FindsHosts() || !n.NeedsAgent() || len(v.Remotes) != 0 {
		t.Fatalf("got %+v, %v, %v", n, v, err)
	}
	completed, err := n.Complete(data)
	if err != nil {
		t.Fatal(err)
	}
	c, err := decodeConfig(completed)
	if err != nil || c.IPAMOptions["driver"] != Driver {
		t.Errorf("got %v, %v", c.IPAMOptions, err)
	}
	if _, _, err := Parse(completed, testHost, VTEP{}); err != nil {
		t.Errorf("what was completed is refused: %v", err)
	}
}
