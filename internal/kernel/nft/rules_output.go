package nft

import (
	"golang.org/x/sys/unix"
)

// output is about what this host itself sends. Each packet of the host passes it, so what is rare is
// behind a jump, and all else passes after a look at two bitmaps of ports.
var output = []Rule{
	rule("VXLAN to a VTEP over IPv4", match(nfproto, ipv4), match(l4proto, udp), inSet("vteps4", ipDaddr, dport),
		Jump("vxlan_output")),
	rule("VXLAN to a VTEP over IPv6", match(nfproto, ipv6), match(l4proto, udp), inSet("vteps6", ip6Daddr, dport),
		Jump("vxlan_output")),
	rule("WireGuard", match(l4proto, udp), inSet("wireguard_ports", dport), Jump("between_hosts")),
	rule("a user's process to a port for root", inSet("root_ports", dport), notRoot(), Jump("from_user")),
}

var vxlanOutput = []Rule{
	rule("a user's process", notRoot(), Jump("from_user")),
	rule("no connection tracking for VXLAN", notrack(), accept()),
}

// betweenHosts spares encrypted packets what connection tracking takes, as VXLAN's are spared it: 3 of 55 µs of a
// request and its answer.
var betweenHosts = []Rule{
	rule("no connection tracking for WireGuard over IPv4", match(nfproto, ipv4), inSet("agents4", ipDaddr, dport),
		notrack(), accept()),
	rule("no connection tracking for WireGuard over IPv6", match(nfproto, ipv6), inSet("agents6", ip6Daddr, dport),
		notrack(), accept()),
}

// notRoot matches what a process of a user other than root sends, from a socket of this network
// namespace. A container's packet that the kernel has wrapped has a socket of another namespace, or
// none, and does not match (net/netfilter/nft_meta.c).
func notRoot() []Expr { return matchBy(skuid, unix.NFT_CMP_NEQ, native32(0)) }

// fromUser is where packets to a VXLAN port or an agents' port come that are not root's.
//
// A user of this host may talk to containers of other hosts. The kernel wraps such packets too, and
// they still have the user's socket. But a wrapped packet has an Ethernet header in front of what the
// rules look at, that of the frame inside. What a process sends has none before it leaves by a device,
// and then the load fails.
var fromUser = []Rule{
	rule("wrapped by the kernel", matchBy(etherDaddr, unix.NFT_CMP_NEQ, make([]byte, 6)), returnToCaller()),
	rule("an allowed user", inSet("allowed_users", skuid), returnToCaller()),
	rule("to a VXLAN port", match(l4proto, udp), inSet("vxlan_ports", dport), Jump("user_to_vtep")),
	rule("to an agent over UDP", match(l4proto, udp), Jump("user_to_agent")),
	rule("to an agent over TCP", match(l4proto, unix.IPPROTO_TCP), Jump("user_to_agent")),
}

// userToVTEP drops what could be taken for VXLAN packets of this host.
//
// Its own VTEPs are among those of all networks. In IPv6 a process can send to them from another
// host's address (IPV6_FREEBIND). Only the first VNI of a packet can be seen, and a process may hand
// several to the kernel as one (UDP_SEGMENT). So the VNI counts only where nothing else tells.
var userToVTEP = []Rule{
	rule("a user's process to a VTEP over IPv4", match(nfproto, ipv4), inSet("vteps4", ipDaddr, dport), drop()),
	rule("a user's process to a VTEP over IPv6", match(nfproto, ipv6), inSet("vteps6", ip6Daddr, dport), drop()),
	rule("a user's process to this host's VXLAN port", daddrNotUnicast(), drop()),
	rule("a user's process to another host's VXLAN port", inSet("own_vnis", dport, vni), drop()),
}

var userToAgent = []Rule{
	rule("a user's process to an agent over IPv4", match(nfproto, ipv4), inSet("agents4", ipDaddr, dport), drop()),
	rule("a user's process to an agent over IPv6", match(nfproto, ipv6), inSet("agents6", ip6Daddr, dport), drop()),
}
