package survey

import (
	"net/netip"
	"slices"
	"testing"
)

// What firewall-cmd of firewalld 2.3 prints.
func TestZonesOf(t *testing.T) {
	const active = `block
  sources: 198.18.0.11, 10.9.0.0/16 ipset:bad
drop
  interfaces: eth0 eth3
trusted
  interfaces: br-vxlan-net
work (default)
`
	host := func(addr string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(addr)} }
	for _, tt := range []struct {
		device, host string
		want         []string
	}{
		{"eth0", "198.18.0.12", []string{"drop"}},
		{"eth0", "198.18.0.11", []string{"block", "drop"}},
		{"eth1", "10.9.8.7", []string{"block", "work"}},
		{"eth1", "fd00::1", []string{"work"}},
	} {
		if got := ZonesOf(active, "work", tt.device, host(tt.host)); !slices.Equal(got, tt.want) {
			t.Errorf("of %s and %s: %v, want %v", tt.device, tt.host, got, tt.want)
		}
	}
}

func TestDenyingRules(t *testing.T) {
	const rules = `rule family="ipv4" port port="4789" protocol="udp" drop
rule family="ipv4" source address="192.0.2.0/24" reject type="icmp-port-unreachable"
rule family="ipv4" source address="198.18.0.0/16" drop
rule family="ipv4" port port="22" protocol="tcp" accept
rule family="ipv4" port port="22" protocol="tcp" drop
rule service name="ssh" drop
`
	got := DenyingRules("public", rules, []uint16{7947, 4789}, []netip.Addr{netip.MustParseAddr("198.18.0.11")})
	want := []string{
		`firewall-cmd --zone=public --remove-rich-rule='rule family="ipv4" port port="4789" protocol="udp" drop'`,
		`firewall-cmd --zone=public --remove-rich-rule='rule family="ipv4" source address="198.18.0.0/16" drop'`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
