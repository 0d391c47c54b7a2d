package attacktest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

// A container that claims to be the gateway does not reach other hosts. The filter is on both ends
// of the tunnel, and each end is enough.
func TestGatewayCannotBePoisonedFromAnotherHost(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Host("host-a"), l.Host("host-b")
	createNetwork(t, l.Hosts(), "one", "--opt vni=101 --subnet 10.1.0.0/24 --subnet fd00:1::/64")
	victim, evil := runContainer(t, a, "victim", "one"), runContainer(t, b, "evil", "one")
	from := openPort(t, evil.ns)
	stop := keepPinging(t, victim, evil.addr4)
	defer stop()
	gateway4, gateway6 := parseAddr("10.1.0.1"), parseAddr("fd00:1::1")
	reply := packet.Ethernet(victim.mac, evil.mac, packet.TypeARP, packet.ARP(packet.ARPReply, evil.mac, gateway4, victim.mac, victim.addr4))
	lies := []struct {
		name    string
		gateway netip.Addr
		rule4   string // "" for neighbour discovery
		chains  [2]string
		frame   []byte
	}{
		{"ARP reply", gateway4, "ARP from the gateway", [2]string{"from_tunnel", "to_tunnel"}, reply},
		{"ARP announcement", gateway4, "ARP from the gateway", [2]string{"from_tunnel", "to_tunnel"},
			packet.Ethernet(packet.Broadcast, evil.mac, packet.TypeARP, packet.ARP(packet.ARPRequest, evil.mac, gateway4, packet.MAC{}, gateway4))},
		{"ARP reply with a priority tag", gateway4, "ARP from the gateway", [2]string{"from_tunnel", "to_tunnel"}, packet.Tagged(reply, 1)},
		{"ARP reply with two priority tags", gateway4, "VLAN 0 hides what is behind it", [2]string{"priority_tag", "priority_tag"}, packet.Tagged(reply, 2)},
		{"neighbour advertisement", gateway6, "ND for the gateway", [2]string{"nd_from_tunnel", "nd_to_tunnel"},
			packet.Ethernet(victim.mac, evil.mac, packet.TypeIPv6, packet.Advertisement(evil.addr6, victim.addr6, gateway6, evil.mac))},
		{"neighbour advertisement from the gateway", gateway6, "ND from the gateway", [2]string{"nd_from_tunnel", "nd_to_tunnel"},
			packet.Ethernet(victim.mac, evil.mac, packet.TypeIPv6, packet.Advertisement(gateway6, victim.addr6, gateway6, evil.mac))},
	}
	for _, lie := range lies {
		for i, end := range []*lab.Host{a, b} {
			other := []*lab.Host{b, a}[i]
			t.Run(fmt.Sprintf("%s, kept out by %s alone", lie.name, end.Name()), func(t *testing.T) {
				rule{other, "bridge", lie.chains[1-i], ""}.disable(t)
				defer reloadRules(t, other)
				flushNeighbour(t, victim, lie.gateway)
				believed := isPoisoned(t, victim, lie.gateway, evil.mac)
				checkDefence(t, rule{end, "bridge", lie.chains[i], lie.rule4}, func() { checkErr(t, from.Send(lie.frame)) }, func(within time.Duration) bool {
					return believed(within, func() { checkErr(t, from.Send(lie.frame)) })
				})
			})
		}
	}
}

// flushNeighbour makes a container resolve the gateway anew, from its own host.
func flushNeighbour(t *testing.T, c container, gateway netip.Addr) {
	t.Helper()
	labtest.Sh(t, c.host, fmt.Sprintf("ip netns exec %s sh -c 'ip neigh flush to %s dev eth0; ping -c1 -W2 %s'", netnsName(c), gateway, gateway))
}

func netnsName(c container) string { return c.ns[strings.LastIndex(c.ns, "/")+1:] }

// isPoisoned tells whether a container takes mac for the MAC of the address. The kernel changes an
// entry at most once a second (neigh/*/locktime), so the attack is repeated until it succeeds.
func isPoisoned(t *testing.T, c container, of netip.Addr, mac packet.MAC) func(time.Duration, func()) bool {
	return func(within time.Duration, again func()) bool {
		deadline := time.Now().Add(max(within, 1200*time.Millisecond))
		for time.Now().Before(deadline) {
			again()
			if strings.Contains(labtest.Sh(t, c.host, fmt.Sprintf("ip -n %s neigh show %s dev eth0", netnsName(c), of)), mac.String()) {
				return true
			}
			time.Sleep(50 * time.Millisecond)
		}
		return false
	}
}
