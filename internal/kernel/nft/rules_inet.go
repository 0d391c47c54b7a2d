package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// Values that rules compare with.
const (
	ipv4, ipv6 = unix.NFPROTO_IPV4, unix.NFPROTO_IPV6
	udp        = unix.IPPROTO_UDP

	ctInvalid = 1      // NF_CT_STATE_INVALID_BIT
	ctDNAT    = 1 << 5 // IPS_DST_NAT
)

// Hook priorities (linux/netfilter_ipv4.h): raw is before connection tracking.
const (
	prioRaw    = -300
	prioDNAT   = -100
	prioFilter = 0
	prioSNAT   = 100
	prioLast   = 1<<31 - 1
)

// inetTable is about packets: who may send VXLAN to this host, who may talk to which network,
// masquerading, and published ports.
var inetTable = Table{
	Family:     kernel.FamilyInet,
	Name:       kernel.FirewallTable,
	Version:    "eb94113109d0",
	RestoredBy: "vxlanctl reload",
	Sets: []Set{
		{Set: kernel.Bridges, Comment: "bridge of each network", Key: []Field{typeDevice}},
		{Set: kernel.SameBridge, Comment: "from a bridge to itself", Key: []Field{typeDevice, typeDevice}},
		{Set: kernel.PodmanBridges, Comment: "bridges of all Podman networks, also of driver bridge",
			Key: []Field{typeDevice}},
		{Set: kernel.Isolated, Comment: "with isolate=true or strict", Key: []Field{typeDevice}},
		{Set: kernel.IsolatedStrict, Comment: "with isolate=strict", Key: []Field{typeDevice}},
		{Set: kernel.Internal, Comment: "bridges of internal networks", Key: []Field{typeDevice}},
		{Set: kernel.Underlays, Comment: "devices that VXLAN packets leave by", Key: []Field{typeDevice}},
		{Set: kernel.VXLANPorts, Comment: "UDP ports of VXLAN devices", Key: []Field{typePort}},
		{Set: kernel.VNIs, Comment: "networks with a list of members", Key: []Field{readDport, typeVNI}},
		{Set: kernel.OwnVNIs, Comment: "all networks", Key: []Field{readDport, typeVNI}},
		{Set: kernel.Encrypted, Comment: "networks of which nothing is sent or taken in plaintext",
			Key: []Field{readDport, typeVNI}},
		{Set: kernel.WireGuard, Comment: "VXLAN that may leave and come by a WireGuard device",
			Key: []Field{readDevice, readDport, typeVNI}},
		{Set: kernel.WireGuardLinks, Comment: "WireGuard devices of networks", Key: []Field{typeDevice}},
		{Set: kernel.WireGuardPorts, Comment: "UDP ports of all hosts' WireGuard devices", Key: []Field{typePort}},
		{Set: kernel.Members4, Comment: "remote VTEP, this host's VTEP, port, VNI",
			Key: []Field{readSaddr4, readDaddr4, readDport, typeVNI}},
		{Set: kernel.Members6, Comment: "remote VTEP, this host's VTEP, port, VNI",
			Key: []Field{readSaddr6, readDaddr6, readDport, typeVNI}},
		{Set: kernel.VTEPs4, Comment: "VTEPs of all networks", Key: []Field{typeIP4, typePort}},
		{Set: kernel.VTEPs6, Comment: "VTEPs of all networks", Key: []Field{typeIP6, typePort}},
		{Set: kernel.Agents4, Comment: "agents of all hosts", Key: []Field{typeIP4, typePort}},
		{Set: kernel.Agents6, Comment: "agents of all hosts", Key: []Field{typeIP6, typePort}},
		{Set: kernel.RootPorts, Comment: "to which only root may send", Key: []Field{typePort}},
		{Set: kernel.AllowedUsers, Comment: "allow_users in vxland.toml", Key: []Field{typeUser}},
		{Set: kernel.Subnets4, Comment: "pairs of subnets of one network", Key: []Field{typeIP4, typeIP4}, Ranges: true},
		{Set: kernel.Subnets6, Comment: "pairs of subnets of one network", Key: []Field{typeIP6, typeIP6}, Ranges: true},
		{Set: kernel.Masquerade4, Comment: "subnets masqueraded by the host's address", Key: []Field{typeIP4}, Ranges: true},
		{Set: kernel.Masquerade6, Comment: "subnets masqueraded by the host's address", Key: []Field{typeIP6}, Ranges: true},
		{Set: kernel.Outbound4, Comment: "subnets with an outbound address of their own", Key: []Field{typeIP4},
			Value: []Field{typeIP4}, Ranges: true},
		{Set: kernel.Outbound6, Comment: "subnets with an outbound address of their own", Key: []Field{typeIP6},
			Value: []Field{typeIP6}, Ranges: true},
		{Set: kernel.Ports4, Comment: "published on every address", Key: []Field{typeProto, typePort},
			Value: []Field{typeIP4, typePort}},
		{Set: kernel.Ports6, Comment: "published on every address", Key: []Field{typeProto, typePort},
			Value: []Field{typeIP6, typePort}},
		{Set: kernel.PortsAt4, Comment: "published on one address", Key: []Field{typeIP4, typeProto, typePort},
			Value: []Field{typeIP4, typePort}},
		{Set: kernel.PortsAt6, Comment: "published on one address", Key: []Field{typeIP6, typeProto, typePort},
			Value: []Field{typeIP6, typePort}},
	},
	Chains: []Chain{
		// Where br_netfilter shows bridged packets to these chains, they pass here as from the
		// bridge. To ask the routing table whether they go back there is one step for both
		// families, and takes a third of looking both addresses up in a set of ranges. What is for
		// this host itself goes nowhere, and may be for a published port, which needs tracking.
		{"prerouting", &Hook{Type: "filter", Number: unix.NF_INET_PRE_ROUTING, Priority: prioRaw}, []Rule{
			rule("from WireGuard", match(iiftype, noLinkLayer...), inSet("wireguard_links", iifname),
				gotoChain("from_wireguard")),
			rule("VXLAN packets", match(l4proto, udp), inSet("vxlan_ports", dport), Jump("vxlan_input")),
			rule("WireGuard", match(l4proto, udp), inSet("wireguard_ports", dport), Jump("between_hosts")),
			rule("no connection tracking within a network", inSet("bridges", iifname), match(fibDaddrIif, native32(1)...),
				notrack(), accept()),
		}},
		{"from_wireguard", nil, fromWireGuard},
		{"between_hosts", nil, betweenHosts},
		{"vxlan_input", nil, vxlanInput},
		{"plaintext_in", nil, []Rule{rule("plaintext of an encrypted network", drop())}},
		{"container_to_vtep", nil, containerToVTEP},
		{"output", &Hook{Type: "filter", Number: unix.NF_INET_LOCAL_OUT, Priority: prioRaw}, output},
		{"vxlan_output", nil, vxlanOutput},
		{"from_user", nil, fromUser},
		{"user_to_vtep", nil, userToVTEP},
		{"user_to_agent", nil, userToAgent},
		{"input", &Hook{Type: "filter", Number: unix.NF_INET_LOCAL_IN, Priority: prioFilter}, []Rule{
			rule("route_localnet is for published ports only", match(nfproto, ipv4), match(ipDaddrFirst, 127),
				inSet("bridges", iifname), Jump("container_to_loopback")),
			rule("from a container", matchName(iifkind, "bridge"), notInSet("underlays", iifname), Jump("container_to_agent")),
			rule("router advertisement of a container", match(nfproto, ipv6), match(l4proto, unix.IPPROTO_ICMPV6),
				match(icmp6Type, routerAdvertisement), inSet("bridges", iifname), drop()),
		}},
		{"container_to_loopback", nil, []Rule{
			rule("replies from a published port", match(ctDirection, 1), accept()),
			rule("anything else", drop()),
		}},
		{"forward", &Hook{Type: "filter", Number: unix.NF_INET_FORWARD, Priority: prioFilter}, []Rule{
			rule("within a network", inSet("same_bridge", iifname, oifname), accept()),
			rule("from a container", matchName(iifkind, "bridge"), notInSet("underlays", iifname), Jump("container_to_agent")),
			rule("from a network", inSet("bridges", iifname), Jump("from_network")),
			rule("to a network", inSet("bridges", oifname), Jump("to_network")),
		}},
		// An agent without a key knows others by their addresses. A container is masqueraded by its
		// host's. To its own host's agent it can send from another host's (in IPv6 without a
		// capability, by IPV6_FREEBIND).
		{"container_to_agent", nil, []Rule{
			rule("container to an agent over IPv4", match(nfproto, ipv4), inSet("agents4", ipDaddr, dport), drop()),
			rule("container to an agent over IPv6", match(nfproto, ipv6), inSet("agents6", ip6Daddr, dport), drop()),
		}},
		{"from_network", nil, []Rule{
			rule("invalid connection state", matchBit(ctState, ctInvalid), drop()),
			rule("out of an internal network", inSet("internal", iifname), drop()),
			rule("to another network", Jump("between_networks")),
		}},
		{"to_network", nil, []Rule{
			rule("into an internal network", inSet("internal", oifname), drop()),
			rule("from another network", Jump("between_networks")),
		}},
		// Who publishes a port opens it to all who reach this host. netavark 2.1 does the same.
		{"between_networks", nil, []Rule{
			rule("to a published port, and back", matchBit(ctStatus, ctDNAT), returnToCaller()),
			rule("between isolated networks", inSet("isolated", iifname), inSet("isolated", oifname), drop()),
			rule("from a strictly isolated network", inSet("isolated_strict", iifname), inSet("podman_bridges", oifname),
				drop()),
			rule("to a strictly isolated network", inSet("isolated_strict", oifname), inSet("podman_bridges", iifname), drop()),
		}},
		// Queries for names come before the ports that other programs publish. Who publishes port
		// 53 of all addresses publishes it of the gateways too.
		{"dns_prerouting", &Hook{Type: "nat", Number: unix.NF_INET_PRE_ROUTING, Priority: prioDNAT - 1}, []Rule{
			rule("a container's query", inSet("bridges", iifname), match(dport, 0, 53), Jump("dns_queries")),
		}},
		{"dns_output", &Hook{Type: "nat", Number: unix.NF_INET_LOCAL_OUT, Priority: prioDNAT - 1}, []Rule{
			rule("this host's query", match(dport, 0, 53), Jump("dns_queries")),
		}},
		{"dns_queries", nil, []Rule{
			rule("over IPv4", match(nfproto, ipv4), dnatByMap(ipv4, "ports_at4", ipDaddr, l4proto, dport)),
			rule("over IPv6", match(nfproto, ipv6), dnatByMap(ipv6, "ports_at6", ip6Daddr, l4proto, dport)),
		}},
		{"nat_prerouting", &Hook{Type: "nat", Number: unix.NF_INET_PRE_ROUTING, Priority: prioDNAT}, []Rule{
			rule("loopback address from outside", match(nfproto, ipv4), match(ipDaddrFirst, 127), accept()),
			rule("to this host", match(fibDaddrType, native32(unix.RTN_LOCAL)...), Jump("published_ports")),
		}},
		{"nat_output", &Hook{Type: "nat", Number: unix.NF_INET_LOCAL_OUT, Priority: prioDNAT}, []Rule{
			rule("from this host to itself", match(fibDaddrType, native32(unix.RTN_LOCAL)...), Jump("published_ports")),
		}},
		{"published_ports", nil, publishedPorts},
		{"nat_postrouting", &Hook{Type: "nat", Number: unix.NF_INET_POST_ROUTING, Priority: prioSNAT}, natPostrouting},
		// A route may be chosen anew as late as behind the hook output. So what leaves by which device
		// is known here only.
		{"postrouting", &Hook{Type: "filter", Number: unix.NF_INET_POST_ROUTING, Priority: prioLast}, []Rule{
			rule("to an encrypted network", match(l4proto, udp), inSet("encrypted", dport, vni), gotoChain("plaintext_out")),
		}},
		{"plaintext_out", nil, plaintextOut},
		{"snat4", nil, []Rule{
			rule("multicast is not translated", match(nfproto, ipv4), matchMulticast4(), accept()),
			rule("by the network's outbound address", match(nfproto, ipv4), snatByMap(ipv4, "outbound4", ipSaddr)),
			rule("by this host's address", masquerade()),
		}},
		{"snat6", nil, []Rule{
			rule("multicast is not translated", match(nfproto, ipv6), match(ip6DaddrFirst, 0xff), accept()),
			rule("by the network's outbound address", match(nfproto, ipv6), snatByMap(ipv6, "outbound6", ip6Saddr)),
			rule("by this host's address", masquerade()),
		}},
	},
}

// vxlanInput drops VXLAN packets that no member sent: VXLAN has no authentication (RFC 7348,
// section 7). Packets that only pass through this host are left alone.
//
// Packets of containers come from a bridge. An underlay may be a bridge too, with virtual machines
// on it that have VTEPs of their own.
//
// The kernel's socket receives on all addresses of the host. A container of another host could send
// to one that is no VTEP, which its own host does not guard. So packets of a member are accepted at
// the network's own VTEP only.
var vxlanInput = []Rule{
	rule("from a container", matchName(iifkind, "bridge"), notInSet("underlays", iifname), gotoChain("container_to_vtep")),
	rule("of an encrypted network", inSet("encrypted", dport, vni), daddrNotUnicast(), gotoChain("plaintext_in")),
	rule("from a member over IPv4", match(nfproto, ipv4), inSet("members4", ipSaddr, ipDaddr, dport, vni), notrack(),
		accept()),
	rule("from a member over IPv6", match(nfproto, ipv6), inSet("members6", ip6Saddr, ip6Daddr, dport, vni), notrack(),
		accept()),
	rule("not from a member to its VTEP", inSet("vnis", dport, vni), daddrNotUnicast(), drop()),
}

// noLinkLayer is the type of devices that carry bare IP packets, WireGuard's among them (ARPHRD_NONE).
// To compare it spares most packets the look-up of a name.
var noLinkLayer = binary.NativeEndian.AppendUint16(nil, 0xfffe)

// fromWireGuard takes VXLAN of the device's network from members alone. WireGuard has proved the
// sender's address. All else would be routed, or reach services of this host.
var fromWireGuard = []Rule{
	rule("VXLAN from a member over IPv4", match(nfproto, ipv4), match(l4proto, udp),
		inSet("wireguard", iifname, dport, vni), inSet("members4", ipSaddr, ipDaddr, dport, vni), notrack(), accept()),
	rule("VXLAN from a member over IPv6", match(nfproto, ipv6), match(l4proto, udp),
		inSet("wireguard", iifname, dport, vni), inSet("members6", ip6Saddr, ip6Daddr, dport, vni), notrack(), accept()),
	rule("not VXLAN from a member, but from WireGuard", drop()),
}

// plaintextOut drops what this host sends of an encrypted network otherwise than by WireGuard. A device of
// Ethernet may have the name of one. What only passes through is another cluster's. Over IPv6 a packet may
// have a source that is no address of this host any more.
var plaintextOut = []Rule{
	rule("by WireGuard", match(oiftype, noLinkLayer...), inSet("wireguard", oifname, dport, vni), accept()),
	rule("plaintext to an encrypted network", match(fibSaddrType, native32(unix.RTN_LOCAL)...), drop()),
	rule("plaintext from an address that this host had", match(nfproto, ipv6), inSet("vteps6", ip6Saddr, dport), drop()),
}

// daddrNotUnicast matches what is for this host: its own addresses, and those of broadcast and
// multicast, on which the kernel's VXLAN socket receives too.
func daddrNotUnicast() []Expr {
	return matchBy(fibDaddrType, unix.NFT_CMP_NEQ, native32(unix.RTN_UNICAST))
}

// routerAdvertisement is the ICMPv6 type by which a container could become the host's router (RFC
// 4861, section 4.2). The parameter accept_ra of the bridge keeps the host from that too, where
// /proc/sys can be written.
const routerAdvertisement = 134

// A container that sent a VXLAN packet to a VTEP would be taken for its host once its address is
// masqueraded. To this host no container sends VXLAN at all. To look at the VNI would not do: a process
// may hand several packets to the kernel as one (UDP_SEGMENT), and only the first VNI is seen.
var containerToVTEP = []Rule{
	rule("container to a VTEP over IPv4", match(nfproto, ipv4), inSet("vteps4", ipDaddr, dport), drop()),
	rule("container to a VTEP over IPv6", match(nfproto, ipv6), inSet("vteps6", ip6Daddr, dport), drop()),
	rule("container to another address of this host", daddrNotUnicast(), drop()),
}

// The kernel routes no packet from ::1 to another device, so IPv6 has no counterpart of
// route_localnet.
var publishedPorts = []Rule{
	rule("IPv4 on one address", match(nfproto, ipv4), dnatByMap(ipv4, "ports_at4", ipDaddr, l4proto, dport)),
	rule("IPv4 on every address", match(nfproto, ipv4), dnatByMap(ipv4, "ports4", l4proto, dport)),
	rule("IPv6 not on loopback", match(nfproto, ipv6), match(ip6Daddr, loopback6...), accept()),
	rule("IPv6 on one address", match(nfproto, ipv6), dnatByMap(ipv6, "ports_at6", ip6Daddr, l4proto, dport)),
	rule("IPv6 on every address", match(nfproto, ipv6), dnatByMap(ipv6, "ports6", l4proto, dport)),
}

// matchMulticast4 matches packets to 224.0.0.0/4.
func matchMulticast4() []Expr {
	return matchMasked(ipDaddr, []byte{0xf0, 0, 0, 0}, unix.NFT_CMP_EQ, []byte{0xe0, 0, 0, 0})
}

var loopback6 = []byte{15: 1}

// Replies to who asks for a published port from within the network, or from 127.0.0.1, must come
// through this host. So the container must see an address of the host's.
var natPostrouting = []Rule{
	rule("a published port from within the network", match(nfproto, ipv4), matchBit(ctStatus, ctDNAT),
		inSet("subnets4", ipSaddr, ipDaddr), masquerade()),
	rule("a published port from 127.0.0.1", match(nfproto, ipv4), matchBit(ctStatus, ctDNAT), match(ipSaddrFirst, 127),
		inSet("bridges", oifname), masquerade()),
	rule("within the network", match(nfproto, ipv4), inSet("subnets4", ipSaddr, ipDaddr), accept()),
	rule("out of the network", match(nfproto, ipv4), inSet("masquerade4", ipSaddr), Jump("snat4")),
	rule("a published port from within the network over IPv6", match(nfproto, ipv6), matchBit(ctStatus, ctDNAT),
		inSet("subnets6", ip6Saddr, ip6Daddr), masquerade()),
	rule("within the network over IPv6", match(nfproto, ipv6), inSet("subnets6", ip6Saddr, ip6Daddr), accept()),
	rule("out of the network over IPv6", match(nfproto, ipv6), inSet("masquerade6", ip6Saddr), Jump("snat6")),
}
