package iptables

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"vxlan-driver/internal/foreignfilter"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// Two networks of a host, of IPv4 and of IPv6.
func blue(subnet, gateway, local, remote string) foreignfilter.Network {
	n := network.Network{
		Identity: network.Identity{ID: "b1", Name: "blue", Bridge: network.DeviceName{Name: "br-vxlan-blue"}},
		Subnets:  []network.Subnet{{Prefix: netip.MustParsePrefix(subnet), Gateway: netip.MustParseAddr(gateway)}},
		DNS:      true, DNSPort: network.FirstResolverPort,
	}
	n.Tunnel.Port = 4789
	v := network.VTEP{Local: netip.MustParseAddr(local), Interface: "eth0", Remotes: []netip.Addr{netip.MustParseAddr(remote)}}
	return foreignfilter.Network{
		PlacedNetwork: plan.PlacedNetwork{Network: n, VTEP: v},
		Bridge:        foreignfilter.Device{Name: "br-vxlan-blue", Index: 7}, Underlay: foreignfilter.Device{Name: "eth0", Index: 2}, Publishes: true,
	}
}

var host = foreignfilter.Host{
	Outside4: foreignfilter.Device{Name: "wan0", Index: 3}, Outside6: foreignfilter.Device{Name: "wan0", Index: 3}, AgentPort: 7947,
}

// dropped returns what the rules of a script drop, by table and chain, and the lines that let it pass.
func dropped(t *testing.T, program, script string) (found map[string]string, lines []string) {
	t.Helper()
	ns := netnstest.New(t)
	sh := netnstest.Shell(t, ns)
	sh(script)
	tables := Parse(program, sh(program+"-save"))
	n := blue("10.0.0.0/24", "10.0.0.1", "198.18.0.10", "198.18.0.11")
	if strings.HasPrefix(program, "ip6") {
		n = blue("fd00:10::/64", "fd00:10::1", "fd00:198::10", "fd00:198::11")
	}
	found = make(map[string]string)
	for _, c := range foreignfilter.AllBlockingChains(tables, host, n) {
		found[c.Table+" "+c.Chain] = strings.Join(c.Dropped, "; ")
		lines = append(lines, c.Commands...)
	}
	return found, lines
}

const (
	outgoing  = "what its containers send to the outside"
	published = "packets to published ports"
	names     = "questions for container names"
	tunnel    = "VXLAN packets from or to other hosts (UDP port 4789 on eth0)"
	agents    = "messages of the agents (UDP and TCP port 7947 on eth0)"
)

// What real rules of iptables-legacy drop is found, and the lines that are given let it pass.
func TestRealRules(t *testing.T) {
	const v4, v6 = "iptables-legacy", "ip6tables-legacy"
	tests := []struct {
		name, program, script string
		want                  map[string]string
	}{
		{"nothing", v4, "iptables-legacy -L >/dev/null", nil},
		{"policy of forwarding", v4, "iptables-legacy -P FORWARD DROP", map[string]string{"filter of iptables-legacy FORWARD": outgoing + "; " + published}},
		{"policy of input", v4, "iptables-legacy -P INPUT DROP; iptables-legacy -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; iptables-legacy -A INPUT -p tcp --dport 22 -j ACCEPT",
			map[string]string{"filter of iptables-legacy INPUT": names + "; " + tunnel + "; " + agents}},
		{"output rejects", v4, "iptables-legacy -A OUTPUT -p udp -m multiport --dports 53,4700:4800 -j REJECT", map[string]string{"filter of iptables-legacy OUTPUT": tunnel}},
		{"raw table", v4, "iptables-legacy -t raw -A PREROUTING -i eth+ -p udp --dport 4789 -j DROP", map[string]string{"raw of iptables-legacy PREROUTING": tunnel}},
		{"mangle table", v4, "iptables-legacy -t mangle -A POSTROUTING -o eth0 -p udp --dport 4789 -d 198.18.0.0/16 -j DROP", map[string]string{"mangle of iptables-legacy POSTROUTING": tunnel}},
		{"chains below chains", v4, `iptables-legacy -N A; iptables-legacy -N B; iptables-legacy -A INPUT -j A; iptables-legacy -A A -s 198.18.0.11 -g B; iptables-legacy -A B -p tcp -j RETURN; iptables-legacy -A B -m comment --comment "no \"UDP\" -j ACCEPT" -j DROP`,
			map[string]string{"filter of iptables-legacy INPUT": tunnel + "; " + agents}},
		{"all but the hosts", v4, "iptables-legacy -A INPUT -p udp --dport 4789 ! -s 198.18.0.0/24 -j DROP", nil},
		{"all but the others", v4, "iptables-legacy -A INPUT -p udp ! -s 192.0.2.0/24 -j DROP", map[string]string{"filter of iptables-legacy INPUT": names + "; " + tunnel + "; " + agents}},
		{"an odd mask", v4, "iptables-legacy -A INPUT -s 198.0.0.11/255.0.0.255 -p udp --dport 4789 -j DROP", map[string]string{"filter of iptables-legacy INPUT": tunnel}},
		{"other devices, protocols, ports and states", v4, `iptables-legacy -A INPUT -i wan0 -j DROP; iptables-legacy -A INPUT -p sctp -j DROP; iptables-legacy -A INPUT -p udp --dport 47:478 -j DROP
iptables-legacy -A INPUT -m conntrack --ctstate INVALID -j DROP; iptables-legacy -A INPUT -m mark --mark 0x8000/0x8000 -j DROP; iptables-legacy -A FORWARD -i docker0 -j DROP; iptables-legacy -A INPUT -j LOG`, nil},
		{"a rate is not sure", v4, "iptables-legacy -A INPUT -p udp --dport 4789 -m limit --limit 5/min -j DROP", nil},
		{"a mark that is set", v4, "iptables-legacy -P INPUT DROP; iptables-legacy -A INPUT -i br-vxlan-blue -j ACCEPT; iptables-legacy -A INPUT -j MARK --set-mark 1; iptables-legacy -A INPUT -m mark --mark 1 -j ACCEPT", nil},
		{"Docker", v4, "iptables-legacy -P FORWARD DROP; iptables-legacy -N DOCKER-USER; iptables-legacy -A FORWARD -j DOCKER-USER; iptables-legacy -A FORWARD -i docker0 -j ACCEPT; iptables-legacy -A DOCKER-USER -j RETURN",
			map[string]string{"filter of iptables-legacy FORWARD": outgoing + "; " + published}},
		{"IPv6 forwarding", v6, "ip6tables-legacy -P FORWARD DROP; ip6tables-legacy -A FORWARD -s fd00:11::/64 -j ACCEPT", map[string]string{"filter of ip6tables-legacy FORWARD": outgoing + "; " + published}},
		{"IPv6 input", v6, "ip6tables-legacy -A INPUT -s fd00:198::/32 -p udp --dport 4789 -j REJECT", map[string]string{"filter of ip6tables-legacy INPUT": tunnel}},
		{"neighbours of IPv6", v6, "ip6tables-legacy -A INPUT -p ipv6-icmp -j DROP", map[string]string{"filter of ip6tables-legacy INPUT": "requests for MAC addresses (ARP, or ICMPv6 of neighbour discovery)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tryTables(t, tt.program); err != nil {
				t.Skip(err)
			}
			found, lines := dropped(t, tt.program, tt.script)
			for chain, want := range tt.want {
				if found[chain] != want {
					t.Errorf("%s drops %q, want %q", chain, found[chain], want)
				}
			}
			if len(found) != len(tt.want) {
				t.Errorf("found %q", found)
			}
			for _, line := range lines {
				if !strings.HasPrefix(line, tt.program+" ") {
					t.Errorf("line %q is of another program", line)
				}
			}
			left, _ := dropped(t, tt.program, tt.script+"\n"+strings.Join(lines, "\n"))
			if len(left) > 0 {
				t.Errorf("after %q: %q", lines, left)
			}
		})
	}
}

// tryTables tries whether this machine has a program, and the kernel its tables.
func tryTables(t *testing.T, program string) error {
	t.Helper()
	if out, err := exec.Command("nsenter", "--net="+netnstest.New(t), program, "-L").CombinedOutput(); err != nil {
		return fmt.Errorf("%s has no tables (CONFIG_IP_NF_IPTABLES_LEGACY): %w: %s", program, err, out)
	}
	return nil
}

// What is no rule is passed over.
func TestParseOddText(t *testing.T) {
	for _, text := range []string{"", "*", "-A INPUT", "*filter\n-A", "*filter\n:INPUT", "*filter\n:INPUT DROP\n-A INPUT -s x/y -d 1.2.3.4/99 --dports x --mark y --ctstate DNAT -j", "*filter\n:I -\n-A I ! -i"} {
		Parse("iptables-legacy", text) // must not panic
	}
	tables := Parse("iptables-legacy", "*nat\n:PREROUTING DROP [0:0]\nCOMMIT\n*raw\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")
	if len(tables) != 1 || tables[0].Name != "raw" || tables[0].Chains["OUTPUT"].Hook != kernel.HookOutput {
		t.Errorf("tables %+v", tables)
	}
}
