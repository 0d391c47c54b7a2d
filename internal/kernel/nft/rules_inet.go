package nft

import (
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// Values that rules compare with.
const (
	ipv4, ipv6 = unix.NFPROTO_IPV4, unix.NFPROTO_IPV6
	udp        = unix.IPPROTO_UDP

	ctInvalid = 1      // NF_CT_STATE_INVALID_BIT
	ctDNAT    = 1 << 5 // IPS_DST_NAT
	snat      = unix.NFT_NAT_SNAT
	dnat      = unix.NFT_NAT_DNAT
)

// A note on "prerouting": where br_netfilter shows bridged packets to these chains, they pass here as
// from the bridge. To ask the routing table whether they go back there is one step for both
// families, and takes a third of looking both addresses up in a set of ranges. What is for this host
// itself goes nowhere, and may be for a published port, which needs tracking.
var tables = []Table{inetTable, bridgeTable}

// Hook priorities (linux/netfilter_ipv4.h): raw is before connection tracking.
const (
	prioRaw    = -300
	prioDNAT   = -100
	prioFilter = 0
	prioSNAT   = 100
)

// inetTable is about packets: who may send KindVXLAN to this host, who may talk to
// which network, the way out, and published ports.
var inetTable = Table{
	Family:     kernel.FamilyInet,
	Name:       kernel.FirewallTable,
	Version:    "ec74079c0a95",
	RestoredBy: "vxlanctl reload",
	Sets: []Set{
		{Set: kernel.Bridges, Comment: "bridge of each network", Key: []Field{typeDevice}},
		{Set: kernel.SameBridge, Comment: "from a bridge to itself", Key: []Field{typeDevice, typeDevice}},
		{Set: kernel.PodmanBridges, Comment: "bridges of all Podman networks, also of driver bridge", Key: []Field{typeDevice}},
		{Set: kernel.Isolated, Comment: "with isolate=true or strict", Key: []Field{typeDevice}},
		{Set: kernel.IsolatedStrict, Comment: "with isolate=strict", Key: []Field{typeDevice}},
		{Set: kernel.Internal, Comment: "bridges of internal networks", Key: []Field{typeDevice}},
		{Set: kernel.Underlays, Comment: "devices that VXLAN packets travel by", Key: []Field{typeDevice}},
		{Set: kernel.VXLANPorts, Comment: "UDP ports of tunnels", Key: []Field{typePort}},
		{Set: kernel.VNIs, Comment: "networks with a list of members", Key: []Field{readDport, typeVNI}},
		{Set: kernel.OwnVNIs, Comment: "all networks", Key: []Field{readDport, typeVNI}},
		{Set: kernel.Members4, Comment: "remote host, this host's tunnel end, port, VNI", Key: []Field{readSaddr4, readDaddr4, readDport, typeVNI}},
		{Set: kernel.Members6, Comment: "remote host, this host's tunnel end, port, VNI", Key: []Field{readSaddr6, readDaddr6, readDport, typeVNI}},
		{Set: kernel.VTEPs4, Comment: "tunnel ends of all networks", Key: []Field{typeIP4, typePort}},
		{Set: kernel.VTEPs6, Comment: "tunnel ends of all networks", Key: []Field{typeIP6, typePort}},
		{Set: kernel.Agents4, Comment: "agents of all hosts", Key: []Field{typeIP4, typePort}},
		{Set: kernel.Agents6, Comment: "agents of all hosts", Key: []Field{typeIP6, typePort}},
		{Set: kernel.Subnets4, Comment: "pairs of subnets of one network", Key: []Field{typeIP4, typeIP4}, Ranges: true},
		{Set: kernel.Subnets6, Comment: "pairs of subnets of one network", Key: []Field{typeIP6, typeIP6}, Ranges: true},
		{Set: kernel.Masquerade4, Comment: "subnets that leave by the host's address", Key: []Field{typeIP4}, Ranges: true},
		{Set: kernel.Masquerade6, Comment: "subnets that leave by the host's address", Key: []Field{typeIP6}, Ranges: true},
		{Set: kernel.Outbound4, Comment: "subnets that leave by another address", Key: []Field{typeIP4}, Value: []Field{typeIP4}, Ranges: true},
		{Set: kernel.Outbound6, Comment: "subnets that leave by another address", Key: []Field{typeIP6}, Value: []Field{typeIP6}, Ranges: true},
		{Set: kernel.Ports4, Comment: "published on every address", Key: []Field{typeProto, typePort}, Value: []Field{typeIP4, typePort}},
		{Set: kernel.Ports6, Comment: "published on every address", Key: []Field{typeProto, typePort}, Value: []Field{typeIP6, typePort}},
		{Set: kernel.PortsAt4, Comment: "published on one address", Key: []Field{typeIP4, typeProto, typePort}, Value: []Field{typeIP4, typePort}},
		{Set: kernel.PortsAt6, Comment: "published on one address", Key: []Field{typeIP6, typeProto, typePort}, Value: []Field{typeIP6, typePort}},
	},
	Chains: []Chain{
		{"prerouting", &Hook{Type: "filter", Number: unix.NF_INET_PRE_ROUTING, Priority: prioRaw}, []Rule{
			rule("VXLAN", is(l4proto, udp), key(dport), in("vxlan_ports"), Jump("vxlan_input")),
			rule("within a network nothing needs tracking", key(iifname), in("bridges"), is(goesBack, native32(1)...), notrack(), accept()),
		}},
		{"vxlan_input", nil, vxlanInput},
		{"from_container", nil, fromContainer},
		{"leave", &Hook{Type: "filter", Number: unix.NF_INET_LOCAL_OUT, Priority: prioRaw}, []Rule{
			rule("VXLAN needs no connection tracking", is(nfproto, ipv4), is(l4proto, udp), key(ipDaddr, dport), in("vteps4"), notrack(), accept()),
			rule("nor over IPv6", is(nfproto, ipv6), is(l4proto, udp), key(ip6Daddr, dport), in("vteps6"), notrack()),
		}},
		{"to_host", &Hook{Type: "filter", Number: unix.NF_INET_LOCAL_IN, Priority: prioFilter}, []Rule{
			rule("route_localnet is for published ports only", is(nfproto, ipv4), is(ipDaddrFirst, 127), key(iifname), in("bridges"), Jump("loopback")),
			rule("from a container", compareName(iifkind, "bridge"), key(iifname), notIn("underlays"), Jump("agents")),
		}},
		{"loopback", nil, []Rule{
			rule("answers to a published port", is(ctDirection, 1), accept()),
			rule("nobody's business", drop()),
		}},
		{"forward", &Hook{Type: "filter", Number: unix.NF_INET_FORWARD, Priority: prioFilter}, []Rule{
			rule("within a network", key(iifname, oifname), in("same_bridge"), accept()),
			rule("from a container", compareName(iifkind, "bridge"), key(iifname), notIn("underlays"), Jump("agents")),
			rule("from a network", key(iifname), in("bridges"), Jump("leave_network")),
			rule("to a network", key(oifname), in("bridges"), Jump("enter_network")),
		}},
		// An agent without a key knows others by their addresses. A container is masqueraded by its host's; and to
		// its own host's agent it can say that it has another host's (in IPv6 with no capability, by IPV6_FREEBIND).
		{"agents", nil, []Rule{
			rule("no container talks to an agent", is(nfproto, ipv4), key(ipDaddr, dport), in("agents4"), drop()),
			rule("nor over IPv6", is(nfproto, ipv6), key(ip6Daddr, dport), in("agents6"), drop()),
		}},
		{"leave_network", nil, []Rule{
			rule("a connection that nobody knows", hasBit(ctState, ctInvalid), drop()),
			rule("internal networks have no way out", key(iifname), in("internal"), drop()),
			rule("to another network", Jump("between_networks")),
		}},
		{"enter_network", nil, []Rule{
			rule("internal networks have no way in", key(oifname), in("internal"), drop()),
			rule("from another network", Jump("between_networks")),
		}},
		{"between_networks", nil, []Rule{
			rule("both isolated", key(iifname), in("isolated"), key(oifname), in("isolated"), drop()),
			rule("from a strictly isolated one", key(iifname), in("isolated_strict"), key(oifname), in("podman_bridges"), drop()),
			rule("to a strictly isolated one", key(oifname), in("isolated_strict"), key(iifname), in("podman_bridges"), drop()),
		}},
		{"ports_from_outside", &Hook{Type: "nat", Number: unix.NF_INET_PRE_ROUTING, Priority: prioDNAT}, []Rule{
			rule("127.0.0.1 is not on the wire", is(nfproto, ipv4), is(ipDaddrFirst, 127), accept()),
			rule("to this host", is(addrType, native32(unix.RTN_LOCAL)...), Jump("published")),
		}},
		{"ports_from_host", &Hook{Type: "nat", Number: unix.NF_INET_LOCAL_OUT, Priority: prioDNAT}, []Rule{
			rule("from this host to itself", is(addrType, native32(unix.RTN_LOCAL)...), Jump("published")),
		}},
		{"published", nil, published},
		{"translate", &Hook{Type: "nat", Number: unix.NF_INET_POST_ROUTING, Priority: prioSNAT}, translate},
		{"way_out4", nil, []Rule{
			rule("multicast stays as it is", is(nfproto, ipv4), multicast4(), accept()),
			rule("by the address that the network asks for", is(nfproto, ipv4), key(ipSaddr), mapped("outbound4"), nat(snat, ipv4, 4, false)),
			rule("by this host's address", masquerade()),
		}},
		{"way_out6", nil, []Rule{
			rule("multicast stays as it is", is(nfproto, ipv6), is(ip6DaddrFirst, 0xff), accept()),
			rule("by the address that the network asks for", is(nfproto, ipv6), key(ip6Saddr), mapped("outbound6"), nat(snat, ipv6, 16, false)),
			rule("by this host's address", masquerade()),
		}},
	},
}

// Containers arrive on a bridge. An underlay may be a bridge too, with virtual
// machines on it that have tunnels of their own.
//
// KindVXLAN has no authentication (RFC 7348, section 7). What only passes through this
// host is not its business.
//
// The kernel's socket hears on all addresses of the host. A container of another host could
// send to one that is no tunnel's end, which its own host does not guard; so a member is heard at
// the network's own tunnel end only.
var vxlanInput = []Rule{
	rule("from a container", compareName(iifkind, "bridge"), key(iifname), notIn("underlays"), gotoChain("from_container")),
	rule("a member of the network", is(nfproto, ipv4), key(ipSaddr, ipDaddr, dport, vni), in("members4"), notrack(), accept()),
	rule("a member of the network over IPv6", is(nfproto, ipv6), key(ip6Saddr, ip6Daddr, dport, vni), in("members6"), notrack(), accept()),
	rule("not a member, or not to its tunnel's end", key(dport, vni), in("vnis"), notUnicast(), drop()),
}

// notUnicast matches what is for this host: its own addresses, and those of broadcast
// and multicast, by which the kernel's KindVXLAN socket hears too.
func notUnicast() []Expr { return compare(addrType, unix.NFT_CMP_NEQ, native32(unix.RTN_UNICAST)) }

// A container that sent a frame to a tunnel's end, wrapped by itself, would be
// taken for its host once its address is masqueraded.
var fromContainer = []Rule{
	rule("no container talks to a tunnel", is(nfproto, ipv4), key(ipDaddr, dport), in("vteps4"), drop()),
	rule("nor over IPv6", is(nfproto, ipv6), key(ip6Daddr, dport), in("vteps6"), drop()),
	rule("nor by another address of this host", key(dport, vni), in("own_vnis"), notUnicast(), drop()),
}

// The kernel routes no packet from ::1 to another device, so IPv6 has no counterpart of route_localnet.
var published = []Rule{
	rule("IPv4 on one address", is(nfproto, ipv4), key(ipDaddr, l4proto, dport), mapped("ports_at4"), nat(dnat, ipv4, 4, true)),
	rule("IPv4 on every address", is(nfproto, ipv4), key(l4proto, dport), mapped("ports4"), nat(dnat, ipv4, 4, true)),
	rule("IPv6 not on loopback", is(nfproto, ipv6), is(ip6Daddr, loopback6...), accept()),
	rule("IPv6 on one address", is(nfproto, ipv6), key(ip6Daddr, l4proto, dport), mapped("ports_at6"), nat(dnat, ipv6, 16, true)),
	rule("IPv6 on every address", is(nfproto, ipv6), key(l4proto, dport), mapped("ports6"), nat(dnat, ipv6, 16, true)),
}

var loopback6 = []byte{15: 1}

// A published port that is asked for from within the network, or by 127.0.0.1, is
// answered through this host: the container must see an address of the host's.
var translate = []Rule{
	rule("a published port from within the network", is(nfproto, ipv4), hasBit(ctStatus, ctDNAT), key(ipSaddr, ipDaddr), in("subnets4"), masquerade()),
	rule("a published port from 127.0.0.1", is(nfproto, ipv4), hasBit(ctStatus, ctDNAT), is(ipSaddrFirst, 127), key(oifname), in("bridges"), masquerade()),
	rule("within the network", is(nfproto, ipv4), key(ipSaddr, ipDaddr), in("subnets4"), accept()),
	rule("out of the network", is(nfproto, ipv4), key(ipSaddr), in("masquerade4"), Jump("way_out4")),
	rule("a published port from within the network over IPv6", is(nfproto, ipv6), hasBit(ctStatus, ctDNAT), key(ip6Saddr, ip6Daddr), in("subnets6"), masquerade()),
	rule("within the network over IPv6", is(nfproto, ipv6), key(ip6Saddr, ip6Daddr), in("subnets6"), accept()),
	rule("out of the network over IPv6", is(nfproto, ipv6), key(ip6Saddr), in("masquerade6"), Jump("way_out6")),
}
