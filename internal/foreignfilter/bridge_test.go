package foreignfilter

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/network"
)

// blue6 is blue with an IPv6 subnet alone, on an underlay of IPv6.
func blue6() Network {
	n := blue()
	n.Subnets = []network.Subnet{{Prefix: netip.MustParsePrefix("fd00:10::/64"), Gateway: netip.MustParseAddr("fd00:10::1")}}
	n.VTEP.Local = netip.MustParseAddr("fd00:198::10")
	n.VTEP.Remotes = []netip.Addr{netip.MustParseAddr("fd00:198::11")}
	return n
}

// What is dropped of frames and ARP, at each hook of each family, and not by rules of others. The
// lines that are given let it pass.
func TestFramesAndARP(t *testing.T) {
	all := []string{frames, addresses}
	tests := []struct {
		name, rules string
		want        map[string][]string
	}{
		{"prerouting of bridges", `table bridge f { chain c { type filter hook prerouting priority 0; policy drop; }; }`, map[string][]string{"c": all}},
		{"postrouting of bridges", `table bridge f { chain c { type filter hook postrouting priority 0; policy drop; }; }`, map[string][]string{"c": all}},
		{"input of bridges", `table bridge f { chain c { type filter hook input priority 0; policy drop; }; }`, map[string][]string{"c": {ofHost, addresses}}},
		{"output of bridges", `table bridge f { chain c { type filter hook output priority 0; policy drop; }; }`, map[string][]string{"c": {ofHost, addresses}}},
		{"frames of IP", `table bridge f { chain c { type filter hook forward priority 0; ether type ip drop; }; }`, map[string][]string{"c": {frames}}},
		{"frames of IPv6", `table bridge f { chain c { type filter hook forward priority 0; ether type ip6 drop; }; }`, nil},
		{"ARP of bridges", `table bridge f { chain c { type filter hook forward priority 0; ether type arp drop; }; }`, map[string][]string{"c": {addresses}}},
		{"ARP of others", `table bridge f { chain c { type filter hook forward priority 0; arp saddr ip 192.0.2.0/24 drop; }; }`, nil},
		{"pings", `table bridge f { chain c { type filter hook forward priority 0; icmp type echo-request drop; }; }`, map[string][]string{"c": {frames}}},
		{"other ICMP", `table bridge f { chain c { type filter hook forward priority 0; icmp type redirect drop; }; }`, nil},
		{"a port of UDP alone", `table bridge f { chain c { type filter hook forward priority 0; udp dport 67-68 drop; }; }`, nil},
		{"STP and other subnets", `table bridge f { chain c { type filter hook forward priority 0; ether daddr 01:80:c2:00:00:00 drop; ip daddr 192.168.0.0/16 drop; }; }`, nil},
		{"a chain for a port", `table bridge f { chain p { ip protocol { tcp, udp } drop; }; chain c { type filter hook forward priority 0; iifname vmap { "veth1" : jump p, "veth7" : drop }; }; }`,
			map[string][]string{"c": {frames}}},
		{"input of ARP", `table arp f { chain c { type filter hook input priority 0; policy drop; }; }`, map[string][]string{"c": {addresses}}},
		{"output of ARP", `table arp f { chain c { type filter hook output priority 0; arp operation request drop; }; }`, nil}, // of answers it is not sure
		{"ARP of a device", `table arp f { chain c { type filter hook input priority 0; iifname "wan0" drop; }; }`, nil},
		{"ARP of the underlay", `table arp f { chain c { type filter hook input priority 0; iifname "eth0" drop; }; }`, map[string][]string{"c": {addresses}}},
		{"ingress of the VXLAN device", `table netdev f { chain c { type filter hook ingress device vxlan-blue priority 0; drop; }; }`, map[string][]string{"c": all}},
		{"egress of a port", `table netdev f { chain c { type filter hook egress device veth1 priority 0; drop; }; }`, map[string][]string{"c": all}},
		{"ingress of the bridge", `table netdev f { chain c { type filter hook ingress device br-vxlan-blue priority 0; drop; }; }`, map[string][]string{"c": {ofHost, addresses}}},
		{"ingress of a port leads elsewhere", `table netdev f { chain c { type filter hook ingress device veth1 priority 0; fwd to "eth0"; }; }`, map[string][]string{"c": all}},
		{"ingress of a port is copied", `table netdev f { chain c { type filter hook ingress device veth1 priority 0; dup to "eth0"; }; }`, nil},
		{"ingress of inet", `table inet f { chain c { type filter hook ingress device veth1 priority 0; policy drop; }; }`, map[string][]string{"c": {frames}}},
		{"before routing", `table ip raw { chain PREROUTING { type filter hook prerouting priority -300; iifname "br-vxlan-*" ip daddr != 10.0.0.0/8 drop; }; }`,
			map[string][]string{"PREROUTING": {outgoing}}},
		{"questions at the input of bridges, translated",
			`table bridge f { chain c { type filter hook input priority 0; udp dport 53 drop; udp dport 61053 drop; }; }`,
			map[string][]string{"c": {names}}},
		{"questions at the input of bridges before they are translated",
			`table bridge f { chain c { type filter hook input priority 0; udp dport 53 drop; }; }`, nil},
		{"questions at a port",
			`table netdev f { chain c { type filter hook ingress device veth1 priority 0; udp dport 53 drop; }; }`,
			map[string][]string{"c": {names}}},
		{"questions at the bridge",
			`table inet f { chain c { type filter hook ingress device br-vxlan-blue priority 0; th dport 50-60 drop; }; }`,
			map[string][]string{"c": {names}}},
		{"questions for others",
			`table bridge f { chain c { type filter hook input priority 0;
				ip daddr 192.0.2.53 udp dport 53 drop; udp dport 54 drop; }; }`, nil},
		{"answers to names", `table inet f { chain c { type filter hook output priority 0; oifname "br-vxlan-blue" drop; }; }`, map[string][]string{"c": {answers}}},
		{"a named counter", `table inet f { counter k { }; chain c { type filter hook input priority 0; udp dport 4789 counter name "k" drop; }; }`, map[string][]string{"c": {tunnel}}},
		{"a quota", `table inet f { quota k { over 10 mbytes }; chain c { type filter hook input priority 0; udp dport 4789 quota name "k" drop; }; }`, nil},
	}
	devices := "ip link add eth0 type veth peer name vxlan-blue; ip link add veth1 type veth peer name br-vxlan-blue\n"
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found := findIn(t, devices+load(tt.rules))
			compareChains(t, found, tt.want)
			var lines []string
			for _, c := range found {
				lines = append(lines, c.Commands...)
			}
			compareChains(t, findIn(t, devices+load(tt.rules)+strings.Join(lines, "\n")), nil)
		})
	}
}

// Without br_netfilter chains of bridges see questions for names as they were asked.
func TestQuestionsOnBridges(t *testing.T) {
	host := testHost
	host.Bridged4 = false
	for rules, want := range map[string]map[string][]string{
		"type filter hook input priority 0; udp dport 53 drop":                                        {"c": {names}},
		"type filter hook prerouting priority 0; ip daddr 10.0.0.1 tcp dport { 53, 853 } drop":        {"c": {names}},
		"type filter hook input priority 0; ip daddr 192.0.2.53 udp dport 53 drop; tcp dport 54 drop": nil,
		"type filter hook input priority 0; udp dport 61053 drop":                                     nil,
	} {
		script := load("table bridge f { chain c { " + rules + "; }; }")
		found := AllBlockingChains(readFilters(t, script), host, blue())
		compareChains(t, found, want)
		for _, c := range found {
			compareChains(t, AllBlockingChains(readFilters(t, script+strings.Join(c.Commands, "\n")), host, blue()), nil)
		}
	}
}

// Without neighbour discovery neither containers nor hosts reach each other by IPv6.
func TestNeighbourDiscovery(t *testing.T) {
	filters := readFilters(t, load(`table ip6 f { chain c { type filter hook input priority 0; policy drop; udp dport { 4789, 7947, 61053-61068 } accept; tcp dport { 7947, 61053-61068 } accept; icmpv6 type echo-request accept; }; }`))
	found := AllBlockingChains(filters, testHost, blue6())
	compareChains(t, found, map[string][]string{"c": {addresses}})
	want := "nft insert rule ip6 f c iifname br-vxlan-blue meta l4proto ipv6-icmp accept"
	if len(found) != 1 || found[0].Commands[0] != want {
		t.Errorf("commands %v", found)
	}
	filters = readFilters(t, load(`table bridge f { chain c { type filter hook forward priority 0; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } drop; }; }`))
	compareChains(t, AllBlockingChains(filters, testHost, blue6()), map[string][]string{"c": {addresses}})
}

// ebtables and arptables of Debian write nftables' rules, in a language of their own. So do the
// lines that let frames pass.
func TestEbtablesAndArptables(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   map[string][]string
		lines  []string
	}{
		{"ebtables-nft -P FORWARD DROP", map[string][]string{"FORWARD": {frames, addresses}},
			[]string{"ebtables -I FORWARD -p IPv4 --ip-src 10.0.0.0/24 -j ACCEPT", "ebtables -I FORWARD -p ARP --arp-ip-src 10.0.0.0/24 -j ACCEPT"}},
		{"ebtables-nft -A INPUT -i veth1 -p IPv4 -j DROP", map[string][]string{"INPUT": {ofHost}}, []string{"ebtables -I INPUT -p IPv4 --ip-src 10.0.0.0/24 -j ACCEPT"}},
		{"ebtables-nft -A OUTPUT -p IPv4 -j DROP", map[string][]string{"OUTPUT": {ofHost}}, []string{"ebtables -I OUTPUT -p IPv4 --ip-dst 10.0.0.0/24 -j ACCEPT"}},
		{"ebtables-nft -A FORWARD -i vnet+ -j DROP; ebtables-nft -A FORWARD -p IPv6 -j DROP", nil, nil},
		{"arptables-nft -P INPUT DROP", map[string][]string{"INPUT": {addresses}}, []string{"arptables -I INPUT -i br-vxlan-blue -j ACCEPT", "arptables -I INPUT -i eth0 -j ACCEPT"}},
		{"arptables-nft -A INPUT -i wan0 -j DROP", nil, nil},
	} {
		t.Run(tt.script, func(t *testing.T) {
			if _, err := exec.LookPath(strings.Fields(tt.script)[0]); err != nil {
				t.Skip("there is no ebtables-nft or arptables-nft")
			}
			found := findIn(t, tt.script)
			compareChains(t, found, tt.want)
			var lines []string
			for _, c := range found {
				lines = append(lines, c.Commands...)
			}
			typed := strings.Join(lines, "\n")
			for _, want := range tt.lines {
				if !strings.Contains(typed, want) {
					t.Errorf("no line %q among\n%s", want, typed)
				}
			}
			typed = strings.NewReplacer("ebtables -I", "ebtables-nft -I", "arptables -I", "arptables-nft -I").Replace(typed)
			compareChains(t, findIn(t, tt.script+"\n"+typed), nil)
		})
	}
}

// Chains that may drop what goes between hosts are told from those that surely do, or surely not.
func TestSuspectChains(t *testing.T) {
	for _, tt := range []struct {
		name, rules string
		want        map[string][]string
	}{
		{"a size", `table inet f { chain c { type filter hook input priority 0; meta length > 1400 drop; }; }`, map[string][]string{"c": {tunnel, agents}}},
		{"a size of VXLAN", `table inet f { chain c { type filter hook output priority 0; udp dport 4789 meta length > 1400 drop; }; }`, map[string][]string{"c": {tunnel}}},
		{"a rate", `table ip f { chain c { type filter hook input priority 0; udp dport 4789 limit rate over 10/second drop; }; }`, map[string][]string{"c": {tunnel}}},
		{"a program decides", `table ip f { chain c { type filter hook input priority 0; }; }
END
iptables-nft -A INPUT -p udp --dport 4000:5000 -j NFQUEUE
cat <<'END'`, map[string][]string{"INPUT": {tunnel}}},
		{"a MAC on bridges", `table bridge f { chain c { type filter hook prerouting priority -300; ether saddr 02:1f:0a:00:01:0b drop; }; }`, map[string][]string{"c": {frames, addresses}}},
		{"a MAC at a device", `table netdev f { chain c { type filter hook ingress device lo priority 0; ether saddr 02:1f:0a:00:01:0b drop; }; }`, nil},
		{"a size on bridges", `table bridge f { chain c { type filter hook forward priority 0; ip length > 1400 drop; }; }`, map[string][]string{"c": {frames}}},
		{"surely drops", `table ip f { chain c { type filter hook input priority 0; udp dport 4789 drop; }; }`, nil},
		{"a rate of others", `table ip f { chain c { type filter hook input priority 0; tcp dport 22 limit rate over 10/second drop; ct state invalid drop; }; }`, nil},
		{"accepted before", `table ip f { chain c { type filter hook input priority 0; ip saddr 198.18.0.0/24 accept; limit rate over 10/second drop; }; }`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := SuspectChains(readFilters(t, load(tt.rules)), testHost, blue())
			compareChains(t, found, tt.want)
			for _, c := range found {
				typed := strings.ReplaceAll(strings.Join(c.Commands, "\n"), "iptables -I", "iptables-nft -I")
				again := SuspectChains(readFilters(t, load(tt.rules)+typed), testHost, blue())
				compareChains(t, again, nil)
			}
		})
	}
}

// A frame that no rule of this kernel can tell from others is one that rules may drop.
func TestUnknownConditionMayMatch(t *testing.T) {
	ns := netnstest.New(t)
	netnstest.Shell(t, ns)(load(`table inet f { chain c { type filter hook input priority 0; udp dport 4789 meta iifkind "vlan" drop; }; }`))
	compareChains(t, findInNamespace(t, ns), nil)
}

// firewalld lets neighbour discovery pass in all zones.
func TestFirewalldKeepsNeighbourDiscovery(t *testing.T) {
	rules, err := os.ReadFile("testdata/firewalld.nft")
	if err != nil {
		t.Fatal(err)
	}
	compareChains(t, AllBlockingChains(readFilters(t, load(string(rules))), testHost, blue6()), nil)
}
