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
var tables = []table{inetTable, bridgeTable}

// Hook priorities (linux/netfilter_ipv4.h): raw is before connection tracking.
const (
	prioRaw    = -300
	prioDNAT   = -100
	prioFilter = 0
	prioSNAT   = 100
)

// inetTable is about packets: who may send KindVXLAN to this host, who may talk to
// which network, the way out, and published ports.
var inetTable = table{
	family:  kernel.FamilyInet,
	name:    kernel.FirewallTable,
	version: "72d06e0fc86a",
	mended:  "vxlanctl reload",
	sets: []set{
		{Set: kernel.Bridges, says: "bridge of each network", key: []field{typeDevice}},
		{Set: kernel.SameBridge, says: "from a bridge to itself", key: []field{typeDevice, typeDevice}},
		{Set: kernel.PodmanBridges, says: "bridges of all Podman networks, also of driver bridge", key: []field{typeDevice}},
		{Set: kernel.Isolated, says: "with isolate=true or strict", key: []field{typeDevice}},
		{Set: kernel.IsolatedStrict, says: "with isolate=strict", key: []field{typeDevice}},
		{Set: kernel.Internal, says: "bridges of internal networks", key: []field{typeDevice}},
		{Set: kernel.Underlays, says: "devices that VXLAN packets travel by", key: []field{typeDevice}},
		{Set: kernel.VXLANPorts, says: "UDP ports of tunnels", key: []field{typePort}},
		{Set: kernel.VNIs, says: "networks with a list of members", key: []field{readDport, typeVNI}},
		{Set: kernel.OwnVNIs, says: "all networks", key: []field{readDport, typeVNI}},
		{Set: kernel.Members4, says: "remote host, this host's tunnel end, port, VNI", key: []field{readSaddr4, readDaddr4, readDport, typeVNI}},
		{Set: kernel.Members6, says: "remote host, this host's tunnel end, port, VNI", key: []field{readSaddr6, readDaddr6, readDport, typeVNI}},
		{Set: kernel.VTEPs4, says: "tunnel ends of all networks", key: []field{typeIP4, typePort}},
		{Set: kernel.VTEPs6, says: "tunnel ends of all networks", key: []field{typeIP6, typePort}},
		{Set: kernel.Agents4, says: "agents of all hosts", key: []field{typeIP4, typePort}},
		{Set: kernel.Agents6, says: "agents of all hosts", key: []field{typeIP6, typePort}},
		{Set: kernel.Subnets4, says: "pairs of subnets of one network", key: []field{typeIP4, typeIP4}, ranges: true},
		{Set: kernel.Subnets6, says: "pairs of subnets of one network", key: []field{typeIP6, typeIP6}, ranges: true},
		{Set: kernel.Masquerade4, says: "subnets that leave by the host's address", key: []field{typeIP4}, ranges: true},
		{Set: kernel.Masquerade6, says: "subnets that leave by the host's address", key: []field{typeIP6}, ranges: true},
		{Set: kernel.Outbound4, says: "subnets that leave by another address", key: []field{typeIP4}, value: []field{typeIP4}, ranges: true},
		{Set: kernel.Outbound6, says: "subnets that leave by another address", key: []field{typeIP6}, value: []field{typeIP6}, ranges: true},
		{Set: kernel.Ports4, says: "published on every address", key: []field{typeProto, typePort}, value: []field{typeIP4, typePort}},
		{Set: kernel.Ports6, says: "published on every address", key: []field{typeProto, typePort}, value: []field{typeIP6, typePort}},
		{Set: kernel.PortsAt4, says: "published on one address", key: []field{typeIP4, typeProto, typePort}, value: []field{typeIP4, typePort}},
		{Set: kernel.PortsAt6, says: "published on one address", key: []field{typeIP6, typeProto, typePort}, value: []field{typeIP6, typePort}},
	},
	chains: []chain{
		{"prerouting", &hook{kind: "filter", number: unix.NF_INET_PRE_ROUTING, priority: prioRaw}, []rule{
			do("VXLAN", is(l4proto, udp), key(dport), in("vxlan_ports"), jump("vxlan_input")),
			do("within a network nothing needs tracking", key(iifname), in("bridges"), is(goesBack, native32(1)...), notrack(), accept()),
		}},
		{"vxlan_input", nil, vxlanInput},
		{"from_container", nil, fromContainer},
		{"leave", &hook{kind: "filter", number: unix.NF_INET_LOCAL_OUT, priority: prioRaw}, []rule{
			do("VXLAN needs no connection tracking", is(nfproto, ipv4), is(l4proto, udp), key(ipDaddr, dport), in("vteps4"), notrack(), accept()),
			do("nor over IPv6", is(nfproto, ipv6), is(l4proto, udp), key(ip6Daddr, dport), in("vteps6"), notrack()),
		}},
		{"to_host", &hook{kind: "filter", number: unix.NF_INET_LOCAL_IN, priority: prioFilter}, []rule{
			do("route_localnet is for published ports only", is(nfproto, ipv4), is(ipDaddrFirst, 127), key(iifname), in("bridges"), jump("loopback")),
			do("from a container", compareName(iifkind, "bridge"), key(iifname), notIn("underlays"), jump("agents")),
		}},
		{"loopback", nil, []rule{
			do("answers to a published port", is(ctDirection, 1), accept()),
			do("nobody's business", drop()),
		}},
		{"forward", &hook{kind: "filter", number: unix.NF_INET_FORWARD, priority: prioFilter}, []rule{
			do("within a network", key(iifname, oifname), in("same_bridge"), accept()),
			do("from a container", compareName(iifkind, "bridge"), key(iifname), notIn("underlays"), jump("agents")),
			do("from a network", key(iifname), in("bridges"), jump("leave_network")),
			do("to a network", key(oifname), in("bridges"), jump("enter_network")),
		}},
		// An agent without a key knows others by their addresses. A container is masqueraded by its host's; and to
		// its own host's agent it can say that it has another host's (in IPv6 with no capability, by IPV6_FREEBIND).
		{"agents", nil, []rule{
			do("no container talks to an agent", is(nfproto, ipv4), key(ipDaddr, dport), in("agents4"), drop()),
			do("nor over IPv6", is(nfproto, ipv6), key(ip6Daddr, dport), in("agents6"), drop()),
		}},
		{"leave_network", nil, []rule{
			do("a connection that nobody knows", hasBit(ctState, ctInvalid), drop()),
			do("internal networks have no way out", key(iifname), in("internal"), drop()),
			do("to another network", jump("between_networks")),
		}},
		{"enter_network", nil, []rule{
			do("internal networks have no way in", key(oifname), in("internal"), drop()),
			do("from another network", jump("between_networks")),
		}},
		{"between_networks", nil, []rule{
			do("both isolated", key(iifname), in("isolated"), key(oifname), in("isolated"), drop()),
			do("from a strictly isolated one", key(iifname), in("isolated_strict"), key(oifname), in("podman_bridges"), drop()),
			do("to a strictly isolated one", key(oifname), in("isolated_strict"), key(iifname), in("podman_bridges"), drop()),
		}},
		{"ports_from_outside", &hook{kind: "nat", number: unix.NF_INET_PRE_ROUTING, priority: prioDNAT}, []rule{
			do("127.0.0.1 is not on the wire", is(nfproto, ipv4), is(ipDaddrFirst, 127), accept()),
			do("to this host", is(addrType, native32(unix.RTN_LOCAL)...), jump("published")),
		}},
		{"ports_from_host", &hook{kind: "nat", number: unix.NF_INET_LOCAL_OUT, priority: prioDNAT}, []rule{
			do("from this host to itself", is(addrType, native32(unix.RTN_LOCAL)...), jump("published")),
		}},
		{"published", nil, published},
		{"translate", &hook{kind: "nat", number: unix.NF_INET_POST_ROUTING, priority: prioSNAT}, translate},
		{"way_out4", nil, []rule{
			do("multicast stays as it is", is(nfproto, ipv4), multicast4(), accept()),
			do("by the address that the network asks for", is(nfproto, ipv4), key(ipSaddr), mapped("outbound4"), nat(snat, ipv4, 4, false)),
			do("by this host's address", masquerade()),
		}},
		{"way_out6", nil, []rule{
			do("multicast stays as it is", is(nfproto, ipv6), is(ip6DaddrFirst, 0xff), accept()),
			do("by the address that the network asks for", is(nfproto, ipv6), key(ip6Saddr), mapped("outbound6"), nat(snat, ipv6, 16, false)),
			do("by this host's address", masquerade()),
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
var vxlanInput = []rule{
	do("from a container", compareName(iifkind, "bridge"), key(iifname), notIn("underlays"), gotoChain("from_container")),
	do("a member of the network", is(nfproto, ipv4), key(ipSaddr, ipDaddr, dport, vni), in("members4"), notrack(), accept()),
	do("a member of the network over IPv6", is(nfproto, ipv6), key(ip6Saddr, ip6Daddr, dport, vni), in("members6"), notrack(), accept()),
	do("not a member, or not to its tunnel's end", key(dport, vni), in("vnis"), notUnicast(), drop()),
}

// notUnicast matches what is for this host: its own addresses, and those of broadcast
// and multicast, by which the kernel's KindVXLAN socket hears too.
func notUnicast() []expr { return compare(addrType, unix.NFT_CMP_NEQ, native32(unix.RTN_UNICAST)) }

// A container that sent a frame to a tunnel's end, wrapped by itself, would be
// taken for its host once its address is masqueraded.
var fromContainer = []rule{
	do("no container talks to a tunnel", is(nfproto, ipv4), key(ipDaddr, dport), in("vteps4"), drop()),
	do("nor over IPv6", is(nfproto, ipv6), key(ip6Daddr, dport), in("vteps6"), drop()),
	do("nor by another address of this host", key(dport, vni), in("own_vnis"), notUnicast(), drop()),
}

// The kernel routes no packet from ::1 to another device, so IPv6 has no counterpart of route_localnet.
var published = []rule{
	do("IPv4 on one address", is(nfproto, ipv4), key(ipDaddr, l4proto, dport), mapped("ports_at4"), nat(dnat, ipv4, 4, true)),
	do("IPv4 on every address", is(nfproto, ipv4), key(l4proto, dport), mapped("ports4"), nat(dnat, ipv4, 4, true)),
	do("IPv6 not on loopback", is(nfproto, ipv6), is(ip6Daddr, loopback6...), accept()),
	do("IPv6 on one address", is(nfproto, ipv6), key(ip6Daddr, l4proto, dport), mapped("ports_at6"), nat(dnat, ipv6, 16, true)),
	do("IPv6 on every address", is(nfproto, ipv6), key(l4proto, dport), mapped("ports6"), nat(dnat, ipv6, 16, true)),
}

var loopback6 = []byte{15: 1}

// A published port that is asked for from within the network, or by 127.0.0.1, is
// answered through this host: the container must see an address of the host's.
var translate = []rule{
	do("a published port from within the network", is(nfproto, ipv4), hasBit(ctStatus, ctDNAT), key(ipSaddr, ipDaddr), in("subnets4"), masquerade()),
	do("a published port from 127.0.0.1", is(nfproto, ipv4), hasBit(ctStatus, ctDNAT), is(ipSaddrFirst, 127), key(oifname), in("bridges"), masquerade()),
	do("within the network", is(nfproto, ipv4), key(ipSaddr, ipDaddr), in("subnets4"), accept()),
	do("out of the network", is(nfproto, ipv4), key(ipSaddr), in("masquerade4"), jump("way_out4")),
	do("a published port from within the network over IPv6", is(nfproto, ipv6), hasBit(ctStatus, ctDNAT), key(ip6Saddr, ip6Daddr), in("subnets6"), masquerade()),
	do("within the network over IPv6", is(nfproto, ipv6), key(ip6Saddr, ip6Daddr), in("subnets6"), accept()),
	do("out of the network over IPv6", is(nfproto, ipv6), key(ip6Saddr), in("masquerade6"), jump("way_out6")),
}
