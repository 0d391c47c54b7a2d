package attacktest

import (
	"fmt"
	"net/netip"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
	"vxlan-driver/lab/packet"
)

const port = 4789

// VXLAN packets from senders that are not members of the network are dropped: another host, a
// member of another network, a container.
func TestForgedTunnelPackets(t *testing.T) {
	l := startLab(t, 3)
	a, b, c, outside := l.Host("host-a"), l.Host("host-b"), l.Host("host-c"), l.Host("outside")
	createNetwork(t, l.Hosts()[:2], "one", "--opt vni=101 --subnet 10.1.0.0/24")
	createNetwork(t, l.Hosts(), "two", "--opt vni=102 --subnet 10.2.0.0/24")
	victimA, victimB := runContainer(t, a, "victim", "one"), runContainer(t, b, "victim", "one")
	inside := runContainer(t, a, "inside", "one")
	neighbour := runContainer(t, a, "neighbour", "two")
	runContainer(t, c, "other", "two")
	bridged := runContainer(t, a, "bridged", "podman")
	// Raw sockets need a route even for broadcasts.
	labtest.Sh(t, outside, "ip route add default dev eth0")

	labtest.Sh(t, b, "ip address add 198.18.0.111/24 dev eth0")

	stop := keepPinging(t, inside, victimB.addr4)
	defer stop()
	notMember := rule{a, "inet", "vxlan_input", "not from a member to its VTEP"}
	toTunnel := rule{a, "inet", "container_to_vtep", "container to a VTEP over IPv4"}
	toLocal := rule{a, "inet", "container_to_vtep", "container to another address of this host"}
	tests := []struct {
		name   string
		rule   rule
		from   string // namespace
		source netip.Addr
		to     netip.Addr
		victim container
	}{
		{"from a host that is no member", notMember, outside.Netns(), netip.Addr{}, a.Addr4(), victimA},
		{"from a member of another network", notMember, c.Netns(), netip.Addr{}, a.Addr4(), victimA},
		{"from a host to the underlay's broadcast address", notMember, outside.Netns(), outside.Addr4(), parseAddr("198.18.0.255"), victimA},
		{"from a host to everybody", notMember, outside.Netns(), outside.Addr4(), parseAddr("255.255.255.255"), victimA},
		{"from a host to all hosts by multicast", notMember, outside.Netns(), outside.Addr4(), parseAddr("224.0.0.1"), victimA},
		{"from a container to its own host", toTunnel, inside.ns, netip.Addr{}, a.Addr4(), victimA},
		{"from a container with a member's address", toTunnel, inside.ns, b.Addr4(), a.Addr4(), victimA},
		{"from a container to the gateway's address", toLocal, inside.ns, netip.Addr{}, parseAddr("10.1.0.1"), victimA},
		{"from a container with a member's address to the gateway's", toLocal, inside.ns, b.Addr4(), parseAddr("10.1.0.1"), victimA},
		{"from a container to its host's own address on the overlay", toLocal, inside.ns, netip.Addr{}, parseAddr("10.1.0.127"), victimA},
		{"from a container to its subnet's broadcast address", toLocal, inside.ns, inside.addr4, parseAddr("10.1.0.255"), victimA},
		{"from a container to everybody", toLocal, inside.ns, inside.addr4, parseAddr("255.255.255.255"), victimA},
		{"from a container to all hosts by multicast", toLocal, inside.ns, inside.addr4, parseAddr("224.0.0.1"), victimA},
		{"from a container to another host, masqueraded", toTunnel, inside.ns, netip.Addr{}, b.Addr4(), victimB},
		{"from a container to another address of another host, masqueraded", rule{b, "inet", "vxlan_input", "not from a member to its VTEP"}, inside.ns, netip.Addr{}, parseAddr("198.18.0.111"), victimB},
		{"from a container of another network", toTunnel, neighbour.ns, netip.Addr{}, b.Addr4(), victimB},
		{"from a container of netavark's own bridge", toTunnel, bridged.ns, netip.Addr{}, b.Addr4(), victimB},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frame, known := markedFrame(t, tt.victim)
			to := netip.AddrPortFrom(tt.to, port)
			attack := func() { checkErr(t, packet.SendUDP(tt.from, to, packet.VXLAN(101, frame))) }
			if tt.source.IsValid() {
				attack = func() {
					checkErr(t, packet.SendIP(tt.from, packet.UDP(netip.AddrPortFrom(tt.source, 5000), to, packet.VXLAN(101, frame))))
				}
			}
			checkDefence(t, tt.rule, attack, receives(t, openPort(t, tt.victim.ns), known))
		})
	}
}

// A fragment that ends before the VNI must not get past the rule that looks for it.
func TestForgedTunnelPacketsInFragments(t *testing.T) {
	l := startLab(t, 2)
	a, b, outside := l.Host("host-a"), l.Host("host-b"), l.Host("outside")
	createNetwork(t, l.Hosts(), "one", "--opt vni=101 --subnet 10.1.0.0/24")
	victimA, victimB, inside := runContainer(t, a, "victim", "one"), runContainer(t, b, "victim", "one"), runContainer(t, a, "inside", "one")
	tests := []struct {
		name       string
		rule       rule
		from       string
		source, to netip.Addr
		victim     container
	}{
		{"from a host", rule{a, "inet", "vxlan_input", "not from a member to its VTEP"}, outside.Netns(), outside.Addr4(), a.Addr4(), victimA},
		{"from a container to its host", rule{a, "inet", "container_to_vtep", "container to a VTEP over IPv4"}, inside.ns, inside.addr4, a.Addr4(), victimA},
		{"from a container to the gateway's address", rule{a, "inet", "container_to_vtep", "container to another address of this host"}, inside.ns, inside.addr4, parseAddr("10.1.0.1"), victimA},
		{"from a container to another host", rule{a, "inet", "container_to_vtep", "container to a VTEP over IPv4"}, inside.ns, inside.addr4, b.Addr4(), victimB},
	}
	for _, tt := range tests {
		for _, first := range []int{8, 16} {
			t.Run(fmt.Sprintf("%s, %d bytes first", tt.name, first), func(t *testing.T) {
				frame, known := markedFrame(t, tt.victim)
				whole := packet.UDP(netip.AddrPortFrom(tt.source, 5000), netip.AddrPortFrom(tt.to, port), packet.VXLAN(101, frame))
				attack := func() { checkErr(t, packet.SendIP(tt.from, packet.Fragments(whole, first)...)) }
				checkDefence(t, tt.rule, attack, receives(t, openPort(t, tt.victim.ns), known))
			})
		}
	}
}

func parseAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// A host that is listed and has no container of the network is taken for a member. Its containers
// of other networks must not reach members' tunnels, behind its address.
func TestForgedTunnelPacketsFromIdleHost(t *testing.T) {
	l := startLab(t, 3)
	a, idle, c := l.Host("host-a"), l.Host("host-b"), l.Host("host-c")
	createNetwork(t, []*lab.Host{a, idle}, "one", "--opt vni=101 --subnet 10.1.0.0/24")
	createNetwork(t, []*lab.Host{idle, c}, "two", "--opt vni=102 --subnet 10.2.0.0/24")
	victim := runContainer(t, a, "victim", "one")
	toTunnel := rule{idle, "inet", "container_to_vtep", "container to a VTEP over IPv4"}
	evil := map[string]container{
		"of another network":        runContainer(t, idle, "evil", "two"),
		"of netavark's own bridges": runContainer(t, idle, "bridged", "podman"),
	}
	for name, from := range evil {
		t.Run(name, func(t *testing.T) {
			frame, known := markedFrame(t, victim)
			attack := func() {
				checkErr(t, packet.SendUDP(from.ns, netip.AddrPortFrom(a.Addr4(), port), packet.VXLAN(101, frame)))
			}
			checkDefence(t, toTunnel, attack, receives(t, openPort(t, victim.ns), known))
		})
	}
}
