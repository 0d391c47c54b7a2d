package foreignfilter

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cputime"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/nft"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// blue is a network on a host whose default route is by wan0.
func blue() Network {
	n := network.Network{
		Identity: network.Identity{ID: "b1", Name: "blue", Bridge: network.DeviceName{Name: "br-vxlan-blue"}},
		Subnets:  []network.Subnet{{Prefix: netip.MustParsePrefix("10.0.0.0/24"), Gateway: netip.MustParseAddr("10.0.0.1")}},
		DNS:      true, DNSPort: network.FirstResolverPort,
	}
	n.Tunnel.Port = 4789
	v := network.VTEP{
		Local: netip.MustParseAddr("198.18.0.10"), Interface: "eth0",
		Remotes: []netip.Addr{netip.MustParseAddr("198.18.0.11"), netip.MustParseAddr("198.18.0.12")},
	}
	return Network{
		PlacedNetwork: plan.PlacedNetwork{Network: n, VTEP: v},
		Bridge:        Device{"br-vxlan-blue", 7}, Underlay: Device{"eth0", 2}, Publishes: true,
		VXLAN: Device{"vxlan-blue", 8}, Port: Device{"veth1", 9},
	}
}

var testHost = Host{Outside4: Device{"wan0", 3}, Bridged4: true, AgentPort: 7947}

const (
	bridged   = "packets between its containers (br_netfilter is on)"
	outgoing  = "what its containers send to the outside"
	published = "packets to published ports"
	frames    = "frames between its containers"
	names     = "questions for container names"
	tunnel    = "VXLAN packets from or to other hosts (UDP port 4789 on eth0)"
	addresses = "requests for MAC addresses (ARP, or ICMPv6 of neighbour discovery)"
	ofHost    = "frames between its containers and this host"
	answers   = "answers to questions for container names"
	agents    = "messages of the agents (UDP and TCP port 7947 on eth0)"
)

// findIn loads a ruleset into a namespace of its own, and returns what it drops.
func findIn(t *testing.T, script string) []BlockingChain {
	t.Helper()
	ns := netnstest.New(t)
	sh := netnstest.Shell(t, ns)
	sh(script)
	return findInNamespace(t, ns)
}

func findInNamespace(t *testing.T, ns string) []BlockingChain {
	t.Helper()
	return AllBlockingChains(filtersOf(t, ns), testHost, blue())
}

// readFilters runs a script in a namespace of its own, and returns the filters that it has then.
func readFilters(t *testing.T, script string) []kernel.FilterTable {
	t.Helper()
	ns := netnstest.New(t)
	netnstest.Shell(t, ns)(script)
	return filtersOf(t, ns)
}

func filtersOf(t *testing.T, ns string) []kernel.FilterTable {
	t.Helper()
	c, err := nft.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	filters, err := c.ForeignFilters()
	if err != nil {
		t.Fatal(err)
	}
	return filters
}

func load(rules string) string { return "nft -f - <<'END'\n" + rules + "\nEND\n" }

const hardened = `
table inet filter {
	set admins { type ipv4_addr; flags interval; elements = { 192.0.2.0/24, 203.0.113.9 } }
	chain input {
		type filter hook input priority 0; policy drop;
		ct state vmap { established : accept, related : accept, invalid : drop }
		iif lo accept
		iifname { "lo", "mgmt0" } accept
		ip saddr @admins accept
		tcp dport { 22, 80, 443 } accept
		ip protocol icmp accept
		limit rate 3/minute log prefix "in: "
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
		ct state established,related accept
		iifname "lan0" oifname "wan0" accept
	}
	chain output { type filter hook output priority 0; policy accept; }
}`

// What each ruleset drops, by chain, and what is left after the lines that are given were typed.
func TestRulesetsOfNft(t *testing.T) {
	tests := []struct {
		name, rules string
		want        map[string][]string // by chain
	}{
		{"no rules", "", nil},
		{"policy accept", `table inet filter { chain forward { type filter hook forward priority 0; iifname "lan0" drop; }; }`, nil},
		{"hardened", hardened, map[string][]string{"input": {names, tunnel, agents}, "forward": {bridged, outgoing, published}}},
		{"last rule drops", `table ip f { chain fw { type filter hook forward priority 10; ct state established accept; counter reject with icmp type admin-prohibited; }; }`,
			map[string][]string{"fw": {bridged, outgoing, published}}},
		{"last rule jumps to a chain that drops", `table ip f { chain end { log prefix "x"; drop; }; chain fw { type filter hook forward priority 10; iifname "lan*" accept; goto end; }; }`,
			map[string][]string{"fw": {bridged, outgoing, published}}},
		{"bridge accepted", `table inet f { chain forward { type filter hook forward priority 0; policy drop; iifname "br-vxlan-blue" accept; oifname "br-vxlan-blue" accept; }; }`, nil},
		{"bridges accepted by a pattern, in another chain", `table inet f { chain ours { iifname "br-vxlan-*" accept; oifname vmap { "br-vxlan-blue" : accept }; }; chain forward { type filter hook forward priority 0; policy drop; jump ours; }; }`, nil},
		{"subnet accepted", `table inet f { chain forward { type filter hook forward priority 0; policy drop; ip saddr 10.0.0.0/16 accept; ip daddr 10.0.0.0/24 accept; }; }`, nil},
		{"one container accepted", `table inet f { chain forward { type filter hook forward priority 0; policy drop; ip saddr 10.0.0.7 accept; ip daddr 10.0.0.7 accept; }; }`, nil},
		{"a neighbouring subnet accepted", `table inet f { chain forward { type filter hook forward priority 0; policy drop; ip saddr 10.0.1.0/24 accept; ip daddr 10.0.1.0/24 accept; }; }`,
			map[string][]string{"forward": {bridged, outgoing, published}}},
		{"way to a private network only", `table inet f { chain forward { type filter hook forward priority 0; policy drop; iifname "br-vxlan-blue" ip daddr 192.168.0.0/16 accept; ip saddr 192.168.0.0/16 oifname "br-vxlan-blue" accept; iifname "br-vxlan-blue" oifname "br-vxlan-blue" accept; }; }`, nil},
		{"other containers' subnet, whatever the device", `table inet f { chain forward { type filter hook forward priority 0; policy drop; ip saddr 10.244.0.0/16 accept; ip daddr 10.244.0.0/16 accept; }; }`,
			map[string][]string{"forward": {bridged, outgoing, published}}},
		{"answers dropped", `table inet f { chain forward { type filter hook forward priority 0; policy drop; iifname "br-vxlan-blue" accept; }; }`,
			map[string][]string{"forward": {outgoing, published}}},
		{"translated connections accepted", `table inet f { chain forward { type filter hook forward priority 0; policy drop; ct state established accept; ct status dnat accept; }; }`,
			map[string][]string{"forward": {bridged, outgoing}}},
		{"mark that nobody sets", `table inet f { chain forward { type filter hook forward priority 0; policy drop; meta mark & 0x1 == 0x1 accept; }; }`,
			map[string][]string{"forward": {bridged, outgoing, published}}},
		{"mark that a rule sets", `table inet f { chain forward { type filter hook forward priority 0; policy drop; ip saddr 10.0.0.0/8 meta mark set 1; ip daddr 10.0.0.0/8 meta mark set 1; meta mark 1 accept; }; }`, nil},
		{"port 53 accepted, which it is no more", `table inet f { chain input { type filter hook input priority 0; policy drop; ct state established accept; iifname "br-vxlan-blue" udp dport 53 accept; udp dport { 4789, 7947 } accept; tcp dport 7947 accept; }; }`,
			map[string][]string{"input": {names}}},
		{"the rules of install.md", `table inet f { chain input { type filter hook input priority 0; policy drop; iifname "br-vx*" meta l4proto { tcp, udp } th dport 61053-61068 accept; tcp dport { 7947, 7949 } accept; udp dport { 4789, 7947 } accept; }; }`, nil},
		{"underlay and names accepted", `table inet f { chain input { type filter hook input priority 0; policy drop; ct state established accept; iifname "br-vxlan-blue" meta l4proto { tcp, udp } th dport 61053-61068 accept; udp dport { 4789, 7947 } accept; tcp dport 7947 accept; }; }`, nil},
		{"VXLAN accepted only in a state that it has not", `table inet f { chain input { type filter hook input priority 0; policy drop; iifname "br-vxlan-blue" accept; ct state new udp dport { 4789, 7947 } accept; ct state new tcp dport 7947 accept; }; }`,
			map[string][]string{"input": {tunnel}}},
		{"a host forgotten", `table inet f { chain input { type filter hook input priority 0; policy drop; iifname "br-vxlan-blue" accept; ip saddr { 198.18.0.11 } accept; }; }`,
			map[string][]string{"input": {tunnel, agents}}},
		{"all hosts by a range", `table inet f { chain input { type filter hook input priority 0; policy drop; iifname "br-vxlan-blue" accept; ip saddr . udp dport { 198.18.0.0/24 . 4789-7947 } accept; ip saddr 198.18.0.11-198.18.0.12 tcp dport >= 7000 accept; }; }`, nil},
		{"all by several parts, after a device", `table inet f { chain input { type filter hook input priority 0; policy drop; iifname "br-vxlan-blue" accept; iifname "eth0" meta l4proto . th dport { udp . 4789, udp . 7947, tcp . 7947 } accept; }; }`, nil},
		{"all by several parts, the last one short", `table inet f { chain input { type filter hook input priority 0; policy drop; iifname "br-vxlan-blue" accept; iifname "eth0" th dport . meta l4proto { 4789 . udp, 7947 . udp, 7947 . tcp } accept; }; }`, nil},
		{"all by a map of several parts", `table inet f { chain input { type filter hook input priority 0; policy drop; iifname "br-vxlan-blue" accept; ip saddr 198.18.0.0/24 meta nfproto . meta l4proto vmap { ipv4 . udp : accept, ipv4 . tcp : accept }; }; }`, nil},
		{"four parts, of which one differs", `table inet f { set b { type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags interval; elements = { 198.18.0.0/24 . 203.0.113.0/24 . udp . 4789 }; }; chain input { type filter hook input priority 0; ip saddr . ip daddr . ip protocol . th dport @b drop; }; }`, nil},
		{"four parts, all right", `table inet f { set b { type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags interval; elements = { 198.18.0.0/24 . 198.18.0.0/16 . udp . 4789-4790 }; }; chain input { type filter hook input priority 0; ip saddr . ip daddr . ip protocol . th dport @b drop; }; }`,
			map[string][]string{"input": {tunnel}}},
		{"output", `table ip f { chain out { type filter hook output priority 0; policy drop; oifname "wan0" accept; }; }`,
			map[string][]string{"out": {tunnel, agents, answers}}},
		{"before routing", `table inet f { chain pre { type filter hook prerouting priority -350; udp dport 4789 drop; }; }`, map[string][]string{"pre": {tunnel}}},
		{"after routing", `table ip f { chain post { type filter hook postrouting priority 0; oifname "eth0" meta l4proto { tcp, udp } th dport 7947 drop; }; }`,
			map[string][]string{"post": {agents}}},
		{"frames of a device", `table bridge f { chain fw { type filter hook forward priority 0; iifname "vxlan-*" drop; }; }`, map[string][]string{"fw": {frames, addresses}}},
		{"frames of another device", `table bridge f { chain fw { type filter hook forward priority 0; iifname "vnet*" drop; }; }`, nil},
		{"all frames", `table bridge f { chain fw { type filter hook forward priority 0; policy drop; }; }`, map[string][]string{"fw": {frames, addresses}}},
		{"output that routes anew", `table ip mangle { chain OUT { type route hook output priority -150; udp dport 4789 drop; }; }`, map[string][]string{"OUT": {tunnel}}},
		{"rate limit", `table ip f { chain fw { type filter hook forward priority 0; policy drop; limit rate 100/second accept; }; }`, nil},
		{"other family", `table ip6 f { chain fw { type filter hook forward priority 0; policy drop; }; }`, nil},
		{"default of a map", `table ip f { chain fw { type filter hook forward priority 0; iifname vmap { "lan0" : accept, * : drop }; }; }`,
			map[string][]string{"fw": {bridged, outgoing, published}}},
		{"flow with index of another device", `table ip f { chain fw { type filter hook forward priority 0; policy drop; iif lo accept; }; }`,
			map[string][]string{"fw": {bridged, outgoing, published}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			script := "true"
			if tt.rules != "" {
				script = load(tt.rules)
			}
			compareChains(t, findIn(t, script), tt.want)
		})
	}
}

// Rules of many hosts are read in no time. Of a set that has too much to read, nothing is known.
func TestLargeTables(t *testing.T) {
	var addresses []string
	for i := range 100_000 {
		addresses = append(addresses, fmt.Sprintf("100.%d.%d.%d", i>>16, i>>8&255, i&255))
	}
	var ladder strings.Builder // each chain jumps to the next one from ten rules
	for i := range 15 {
		fmt.Fprintf(&ladder, "chain c%d { %s }; ", i+1, strings.Repeat(fmt.Sprintf("limit rate 1/second jump c%d; ", i), 10))
	}
	const drops = "policy drop; udp dport 4789 accept; tcp dport 7947 accept; udp dport 7947 accept; "
	tests := []struct {
		name, rules string
		want        map[string][]string
	}{
		{"blocked addresses", "set s { type ipv4_addr; elements = { " + strings.Join(addresses, ",") + " }; }; chain i { type filter hook input priority 0; " + drops + "ip saddr @s drop; }; ",
			map[string][]string{"i": {names}}},
		{"addresses that may pass", "set s { type ipv4_addr; elements = { " + strings.Join(addresses, ",") + " }; }; chain i { type filter hook input priority 0; " + drops + "ip saddr @s accept; }; ", nil},
		{"chains below chains", "chain c0 { limit rate 1/second drop; }; " + ladder.String() + "chain i { type filter hook input priority 0; " + drops + "jump c14; }; ",
			map[string][]string{"i": {names}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "rules")
			if err := os.WriteFile(file, []byte("table ip f { "+tt.rules+"}"), 0o600); err != nil {
				t.Fatal(err)
			}
			ns := netnstest.New(t)
			netnstest.Shell(t, ns)("nft -f " + file)
			var found []BlockingChain
			took := cputime.Of(t, func() { found = findInNamespace(t, ns) })
			if took > 150*time.Millisecond {
				t.Errorf("it took %v", took)
			}
			compareChains(t, found, tt.want)
		})
	}
}

func compareChains(t *testing.T, found []BlockingChain, want map[string][]string) {
	t.Helper()
	have := make(map[string]string)
	for _, o := range found {
		have[o.Chain] = strings.Join(o.Dropped, "; ")
	}
	for chain, dropped := range want {
		if have[chain] != strings.Join(dropped, "; ") {
			t.Errorf("chain %s drops %q, want %q", chain, have[chain], dropped)
		}
		delete(have, chain)
	}
	for chain, dropped := range have {
		t.Errorf("chain %s is said to drop %q", chain, dropped)
	}
}

// restore loads a file that iptables-save wrote on a host with Docker 26.1 or ufw 0.36.
func restore(file string) string { return "iptables-nft-restore <testdata/" + file }

// ufwAsIPTables makes what ufw makes of its commands.
var ufwAsIPTables = strings.NewReplacer(
	"ufw route allow in on ", "iptables-nft -A ufw-user-forward -j ACCEPT -i ",
	"ufw route allow out on ", "iptables-nft -A ufw-user-forward -j ACCEPT -o ",
	"ufw allow in on ", "iptables-nft -A ufw-user-input -j ACCEPT -i ",
	" to any port 4789 proto udp", " -p udp --dport 4789",
	" to any port 7947 proto udp", " -p udp --dport 7947",
	" to any port 7947 proto tcp", " -p tcp --dport 7947",
	" to any port 61053:61068 proto udp", " -p udp --dport 61053:61068",
	" to any port 61053:61068 proto tcp", " -p tcp --dport 61053:61068",
)

// firewalld 2.3 with the bridge in its trusted zone, and with the ports open that the hosts need,
// drops nothing. Without the bridge it drops what was not translated.
func TestFirewalldTrustsTheBridge(t *testing.T) {
	rules, err := os.ReadFile("testdata/firewalld.nft")
	if err != nil {
		t.Fatal(err)
	}
	compareChains(t, findIn(t, load(string(rules))), nil)
	other := strings.ReplaceAll(string(rules), "br-vxlan-blue", "br-vxlan-red")
	compareChains(t, findIn(t, load(other)), map[string][]string{"filter_FORWARD": {bridged, outgoing}})
}

// What a device receives or sends is followed as far as the chain is the underlay's.
func TestChainsOfDevices(t *testing.T) {
	const device = "ip link add eth0 type veth peer name x0; ip link add eth1 type veth peer name x1\n"
	for rules, want := range map[string]map[string][]string{
		`table netdev f { chain i { type filter hook ingress device eth0 priority 0; udp dport 4789 drop; }; }`:                       {"i": {tunnel}},
		`table netdev f { chain i { type filter hook ingress device eth1 priority 0; udp dport 4789 drop; }; }`:                       nil,
		`table inet f { chain i { type filter hook ingress devices = { eth0, eth1 } priority 0; udp dport { 4789, 7947 } drop; }; }`:  {"i": {tunnel, agents}},
		`table netdev f { chain e { type filter hook egress device eth0 priority 0; ip daddr 198.18.0.12 udp dport 4789 drop; }; }`:   {"e": {tunnel}},
		`table netdev f { chain e { type filter hook egress device eth0 priority 0; ip daddr 198.18.0.12 udp dport 4789 accept; }; }`: nil,
	} {
		compareChains(t, findIn(t, device+load(rules)), want)
	}
}

// The lines that a warning gives make it go away.
func TestCommandsLetPacketsPass(t *testing.T) {
	tests := []struct {
		name, script string
		lines        []string // some of them
	}{
		{"hardened", load(hardened), []string{
			"nft insert rule inet filter forward iifname br-vxlan-blue accept",
			"nft insert rule inet filter forward oifname br-vxlan-blue accept",
			"nft insert rule inet filter input iifname br-vxlan-blue udp dport 61053-61068 accept",
			"nft insert rule inet filter input iifname eth0 udp dport 4789 accept",
			"nft insert rule inet filter input iifname eth0 tcp dport 7947 accept",
		}},
		{"before routing and on a bridge", load(`table inet f { chain p { type filter hook prerouting priority -350; udp dport 4789 drop; }; }
table bridge f { chain fw { type filter hook forward priority 0; policy drop; }; }`), []string{
			"nft insert rule inet f p iifname eth0 udp dport 4789 accept",
			"nft insert rule bridge f fw ip saddr 10.0.0.0/24 accept", "nft insert rule bridge f fw arp saddr ip 10.0.0.0/24 accept",
		}},
		{"docker", restore("docker.rules"), []string{"iptables -I DOCKER-USER -i br-vxlan-blue -j ACCEPT", "iptables -I DOCKER-USER -o br-vxlan-blue -j ACCEPT"}},
		{"ufw", restore("ufw.rules"), []string{
			"ufw route allow in on br-vxlan-blue", "ufw route allow out on br-vxlan-blue", "ufw allow in on eth0 to any port 4789 proto udp",
			"ufw allow in on eth0 to any port 7947 proto tcp", "ufw allow in on br-vxlan-blue to any port 61053:61068 proto udp",
		}},
		{"iptables", `iptables-nft -P FORWARD DROP; iptables-nft -A FORWARD -m comment --comment x -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables-nft -A INPUT -i lo -j ACCEPT; iptables-nft -A INPUT -p udp -m udp --dport 67:68 -j ACCEPT; iptables-nft -A INPUT -p tcp --dport 22 -j ACCEPT
iptables-nft -A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT; iptables-nft -A INPUT -j REJECT`, []string{
			"iptables -I FORWARD -i br-vxlan-blue -j ACCEPT", "iptables -I INPUT -i eth0 -p udp --dport 4789 -j ACCEPT",
			"iptables -I INPUT -i br-vxlan-blue -p udp --dport 61053:61068 -j ACCEPT",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := exec.LookPath("iptables-nft"); err != nil && strings.Contains(tt.script, "iptables-nft") {
				t.Skip("there is no iptables-nft")
			}
			var lines []string
			for _, o := range findIn(t, tt.script) {
				t.Log(o)
				lines = append(lines, o.Commands...)
			}
			typed := strings.Join(lines, "\n")
			for _, want := range tt.lines {
				if !strings.Contains(typed, want) {
					t.Errorf("no line %q among\n%s", want, typed)
				}
			}
			typed = ufwAsIPTables.Replace(strings.ReplaceAll(typed, "iptables -I", "iptables-nft -I"))
			compareChains(t, findIn(t, tt.script+"\n"+typed), nil)
		})
	}
}

// What an encrypted network needs is asked for where it passes: VXLAN by the WireGuard device, and what
// that makes of it by the underlay's.
func TestFiltersOfAnEncryptedNetwork(t *testing.T) {
	const inside = "VXLAN packets from or to other hosts (UDP port 4789 on wg0-blue)"
	const outside = "encrypted packets from or to other hosts (UDP port 51820 on eth0)"
	n := blue()
	n.Encryption, n.Bridge, n.DNS = network.EncryptionWireGuard, Device{}, false
	ready := n
	ready.VTEP.WireGuard, ready.WireGuard = "wg0-blue", Device{"wg0-blue", 10}
	ready.VTEP.WireGuardAddrs = []netip.AddrPort{netip.MustParseAddrPort("198.18.0.10:51820"),
		netip.MustParseAddrPort("198.18.0.11:51999")}
	chain := func(rules string) string {
		return load("table inet f { chain in { type filter hook input priority 0; policy drop; " +
			rules + " tcp dport 7947 accept; udp dport 7947 accept; }; }")
	}
	for _, tt := range []struct {
		name, rules string
		n           Network
		want        []string
	}{
		{"no device yet", "", n, nil},
		{"nothing accepted", "", ready, []string{inside, outside}},
		{"the underlay's port accepted", "udp dport 51820 accept;", ready, []string{inside}},
		{"VXLAN accepted on the underlay", "iifname eth0 udp dport 4789 accept;", ready, []string{inside, outside}},
		{"both accepted", "udp dport 51820 accept; iifname \"wg0-*\" udp dport 4789 accept;", ready, nil},
	} {
		var got []string
		for _, c := range AllBlockingChains(readFilters(t, chain(tt.rules)), Host{AgentPort: 7947}, tt.n) {
			got = append(got, c.Dropped...)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: dropped is said to be %q", tt.name, got)
		}
	}
}
