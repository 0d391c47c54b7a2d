package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/golden"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// What a network and an endpoint put into the firewall, for every option that has a say in it.
func TestFirewall(t *testing.T) {
	others := []network.Reservation{
		{Bridge: "podman0"},
		{Bridge: "podman1", Isolate: network.IsolateOn},
		{Bridge: "podman2", Isolate: network.IsolateStrict},
		{Holder: "a vxlan network", Port: 8472, Remotes: []netip.Addr{netip.MustParseAddr("198.18.0.12"), netip.MustParseAddr("fd00:1::12")}},
	}
	six := vtep
	six.Local = netip.MustParseAddr("fd00:1::10")
	six.Remotes = []netip.Addr{netip.MustParseAddr("fd00:1::11")}
	encrypt := func(n *network.Network) {
		n.Encryption = network.EncryptionWireGuard
		n.WireGuard = [2]network.DeviceName{{Name: "wg0-blue"}, {Name: "wg1-blue"}}
	}
	encrypted, encryptedKnown, encrypted6 := vtep, vtep, six
	encrypted.AgentPort, encryptedKnown.AgentPort, encryptedKnown.WireGuard = 7947, 7947, "wg1-blue"
	encryptedKnown.WireGuardAddrs = []netip.AddrPort{netip.MustParseAddrPort("198.18.0.10:51820"),
		netip.MustParseAddrPort("198.18.0.11:51821")}
	encrypted6.WireGuardAddrs = []netip.AddrPort{netip.MustParseAddrPort("[fd00:1::11]:51821")}
	known, known6, allowing := vtep, six, vtep
	known.AgentPort, known6.AgentPort = 7947, 7947
	allowing.AllowedUsers = []uint32{993, 1000}
	tests := []struct {
		name   string
		change func(*network.Network)
		vtep   network.VTEP
	}{
		{"plain", func(*network.Network) {}, vtep},
		{"with agents", func(*network.Network) {}, known},
		{"with agents over IPv6", func(*network.Network) {}, known6},
		{"with allowed users", func(*network.Network) {}, allowing},
		{"internal", func(n *network.Network) { n.Internal = true }, vtep},
		{"strict", func(n *network.Network) { n.Isolate = network.IsolateStrict }, vtep},
		{"outbound", func(n *network.Network) { n.OutboundAddr4 = netip.MustParseAddr("192.0.2.1") }, vtep},
		{"group over IPv6", func(n *network.Network) { n.Tunnel.Group = netip.MustParseAddr("ff05::1") }, six},
		{"IPv6 underlay, no addresses", func(n *network.Network) { n.Subnets = nil }, six},
		{"encrypted, no agent yet", encrypt, encrypted},
		{"encrypted", encrypt, encryptedKnown},
		{"encrypted over IPv6", encrypt, encrypted6},
		{"VRF, port security", func(n *network.Network) { n.VRF, n.PortSecurity = "red", true }, vtep},
	}
	var b strings.Builder
	for _, tt := range tests {
		n := blue()
		tt.change(&n)
		b.WriteString("# " + tt.name + "\n" + kernel.AddElements{Elements: networkElements(PlacedNetwork{Network: n, VTEP: tt.vtep, Foreign: others})}.String() + "\n")
		e := endpointWith("10.0.0.2/24", "10.1.0.2/24", "fd00:10::2/64")
		e.MAC = kernel.MAC{2, 0, 0, 0, 0, 1}
		e.Ports = []network.PortMapping{
			{Protocol: network.ProtocolTCP, HostPort: 8080, ContainerPort: 80, Count: 2},
			{Protocol: network.ProtocolUDP, HostIP: netip.MustParseAddr("198.18.0.10"), HostPort: 53, ContainerPort: 53, Count: 1},
			{Protocol: network.ProtocolTCP, HostIP: netip.MustParseAddr("::"), HostPort: 443, ContainerPort: 443, Count: 1},
		}
		b.WriteString("# " + tt.name + ", an endpoint\n" + kernel.AddElements{Elements: endpointElements(n, e)}.String() + "\n\n")
	}
	golden.Compare(t, "firewall.golden", b.String())
}

// The comment changes with whatever the elements come from, and stays otherwise.
func TestFingerprintChangesWithTheElements(t *testing.T) {
	more := vtep
	more.Remotes = append(slices.Clone(vtep.Remotes), netip.MustParseAddr("198.18.0.99"))
	agents := vtep
	agents.AgentPort = 7947
	users := vtep
	users.AllowedUsers = []uint32{1000}
	flood := vtep
	flood.Flood, flood.StaticFDB = nil, true
	if got := networkFingerprint(PlacedNetwork{Network: blue(), VTEP: flood, Foreign: nil}); got != networkFingerprint(PlacedNetwork{Network: blue(), VTEP: vtep, Foreign: nil}) {
		t.Errorf("no rule asks who gets floods: %v", got)
	}
	other := blue()
	other.Tunnel.VNI = 7
	plain := networkFingerprint(PlacedNetwork{Network: blue(), VTEP: vtep, Foreign: nil})
	if again := networkFingerprint(PlacedNetwork{Network: blue(), VTEP: vtep, Foreign: nil}); again != plain || plain != networkElements(PlacedNetwork{Network: blue(), VTEP: vtep, Foreign: nil})[0] {
		t.Errorf("%v became %v", plain, again)
	}
	encrypted, ports := blue(), agents
	encrypted.Encryption = network.EncryptionWireGuard
	ports.WireGuardAddrs = []netip.AddrPort{netip.MustParseAddrPort("198.18.0.11:51821")}
	for what, got := range map[string]kernel.Element{
		"encryption": networkFingerprint(PlacedNetwork{Network: encrypted, VTEP: vtep}),
		"a WireGuard port": func() kernel.Element {
			e := networkFingerprint(PlacedNetwork{Network: blue(), VTEP: ports})
			if e.Comment == networkFingerprint(PlacedNetwork{Network: blue(), VTEP: agents}).Comment {
				t.Error("a WireGuard port changes nothing")
			}
			return e
		}(),
		"a host more":     networkFingerprint(PlacedNetwork{Network: blue(), VTEP: more, Foreign: nil}),
		"agents":          networkFingerprint(PlacedNetwork{Network: blue(), VTEP: agents, Foreign: nil}),
		"a user":          networkFingerprint(PlacedNetwork{Network: blue(), VTEP: users, Foreign: nil}),
		"another VNI":     networkFingerprint(PlacedNetwork{Network: other, VTEP: vtep, Foreign: nil}),
		"a strict bridge": networkFingerprint(PlacedNetwork{Network: blue(), VTEP: vtep, Foreign: []network.Reservation{{Bridge: "podman2", Isolate: network.IsolateStrict}}}),
	} {
		if got.Comment == plain.Comment || got.Key != plain.Key {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// A start computes this each time.
func BenchmarkFingerprintOfAThousandHosts(b *testing.B) {
	v := vtep
	for i := range 1000 {
		v.Remotes = append(v.Remotes, netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}))
	}
	n := blue()
	for b.Loop() {
		networkFingerprint(PlacedNetwork{Network: n, VTEP: v, Foreign: nil})
	}
}
