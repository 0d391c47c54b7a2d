package foreignfilter

import (
	"net/netip"
	"slices"
	"testing"
)

// Of an encrypted network WireGuard passes between the hosts, by ports of each host's own, and VXLAN passes
// WireGuard's device alone.
func TestNeedsOfEncryptedNetwork(t *testing.T) {
	const (
		wireGuard = "encrypted packets from or to other hosts (UDP port 51820 on eth0)"
		inside    = "VXLAN packets from or to other hosts (UDP port 4789 on wg0-blue)"
	)
	n := encryptedBlue()
	tests := []struct {
		rule string
		hook string
		want []string
	}{
		{"udp dport 51820 drop", "input", []string{wireGuard}},
		{"udp dport 51831 drop", "output", []string{wireGuard}},
		{"udp dport 51831 drop", "input", nil},             // that port is the other host's
		{"iifname eth0 udp dport 4789 drop", "input", nil}, // none comes there
		{"iifname wg0-blue udp dport 4789 drop", "input", []string{inside}},
		{"udp dport 4789 drop", "output", []string{inside}},
		{"ip saddr 198.18.0.11 drop", "input", []string{inside, wireGuard}},
		{"udp dport 51820 accept", "input", nil},
	}
	for _, tt := range tests {
		filters := readFilters(t, "nft 'table inet f { chain c { type filter hook "+tt.hook+" priority 0; "+tt.rule+"; }; }'")
		var got []string
		for _, c := range BlockingChains(filters, testHost, n) {
			got = append(got, c.Dropped...)
		}
		got = slices.DeleteFunc(got, func(what string) bool { return what == agents })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %s: blocked %q", tt.hook, tt.rule, got)
		}
	}
}

// encryptedBlue is the network blue with encryption.
func encryptedBlue() Network {
	n := blue()
	n.Encryption = "wireguard"
	n.WireGuard = Device{"wg0-blue", 11}
	n.VTEP.WireGuardAddrs = []netip.AddrPort{
		netip.MustParseAddrPort("198.18.0.10:51820"), netip.MustParseAddrPort("198.18.0.11:51831"),
	}
	return n
}

// Commands let both of a network's ports pass, as the other one comes into use when keys rotate.
func TestCommandsForBothPortsOfWireGuard(t *testing.T) {
	for _, tt := range []struct{ table, hook, want string }{
		{"inet f", "input", "nft insert rule inet f c iifname eth0 udp dport 51820-51821 accept"},
		{"inet f", "output", "nft insert rule inet f c oifname eth0 udp dport 51830-51831 accept"},
		{"inet firewalld", "input", "firewall-cmd --add-port=51820-51821/udp"},
	} {
		filters := readFilters(t, "nft 'table "+tt.table+" { chain c { type filter hook "+tt.hook+
			" priority 0; udp dport 51820-51831 drop; }; }'")
		chains := BlockingChains(filters, testHost, encryptedBlue())
		if len(chains) != 1 || !slices.Equal(chains[0].Commands, []string{tt.want}) {
			t.Errorf("%s, %s: %+v", tt.table, tt.hook, chains)
		}
	}
}
