package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// Hooks and priorities of bridges (linux/netfilter_bridge.h).
const (
	brPreRouting  = 0
	brPostRouting = 4
	prioBrFilter  = -200

	etherIP, etherARP, etherIPv6 = 0x0800, 0x0806, 0x86dd
	etherVLAN, etherQinQ         = 0x8100, 0x88a8
)

func etherType(t uint16) []expr { return is(protocol, binary.BigEndian.AppendUint16(nil, t)...) }

// neighborDiscovery matches the ICMPv6 messages 133 to 137 of RFC 4861.
func neighborDiscovery() []expr {
	return append(is(l4proto, unix.IPPROTO_ICMPV6), between(icmp6Type, 133, 137)...)
}

// bridgeTable is about frames: the gateway's address, which every host has, is
// not heard of across the tunnel; and what a container may send, if the network
// is strict about it. A frame is looked up by the port that it comes from or goes
// to, once each way, and most leave at that.
var bridgeTable = table{
	family:  kernel.FamilyBridge,
	name:    kernel.FirewallTable,
	version: "34879a761e33",
	mended:  "vxlanctl reload",
	sets: []set{
		{Set: kernel.FromPort, says: "what comes from a bridge port", key: []field{typeDevice}, value: verdictValue},
		{Set: kernel.ToPort, says: "what goes to a bridge port", key: []field{typeDevice}, value: verdictValue},
		{Set: kernel.Gateways4, says: "of each VXLAN device", key: []field{typeDevice, typeIP4}},
		{Set: kernel.Gateways6, says: "of each VXLAN device", key: []field{typeDevice, typeIP6}},
		{Set: kernel.GatewaysND, says: "of each VXLAN device, as neighbour discovery has it", key: []field{readDevice, typeTarget}},
		{Set: kernel.SourceND, says: "that a port may advertise", key: []field{readDevice, typeTarget}},
		{Set: kernel.SourceMAC, says: "that a port may send from", key: []field{typeDevice, typeEther}},
		{Set: kernel.SourceIP4, says: "that a port may send from", key: []field{typeDevice, typeIP4}},
		{Set: kernel.SourceIP6, says: "that a port may send from", key: []field{typeDevice, typeIP6}},
	},
	chains: []chain{
		{"prerouting", &hook{kind: "filter", number: brPreRouting, priority: prioBrFilter}, []rule{
			do("by port", key(iifname), verdictOf("from_port")),
		}},
		{"leave", &hook{kind: "filter", number: brPostRouting, priority: prioBrFilter}, []rule{
			do("what most frames are goes anywhere", etherType(etherIP), accept()),
			do("by port", key(oifname), verdictOf("to_port")),
		}},
		{"nd_from_tunnel", nil, discovery(iifname)},
		{kernel.ChainFromTunnel, nil, gatewayStaysHome(iifname, "nd_from_tunnel")},
		{"nd_to_tunnel", nil, discovery(oifname)},
		{kernel.ChainToTunnel, nil, gatewayStaysHome(oifname, "nd_to_tunnel")},
		{"tagged", nil, []rule{
			do("without a number", append(masked(vlanTag, []byte{0x0f, 0xff}), registerIs(unix.NFT_CMP_EQ, []byte{0, 0})), drop()),
		}},
		{"advertisement", nil, []rule{
			do("of another address", notKey(iifname, ndTarget, "source_nd"), drop()),
		}},
		{kernel.ChainPortSecurity, nil, secured},
	},
}

// gatewayStaysHome drops, on the KindVXLAN device, ARP (RFC 826) and neighbour
// discovery (RFC 4861) of or for a gateway address.
//
// A frame is seen without its VLAN tag, and a receiver takes off one more that has no
// number (a priority tag, IEEE 802.1Q): behind two of them ARP would pass unseen.
func gatewayStaysHome(device load, ndChain string) []rule {
	return []rule{
		do("what most frames are", etherType(etherIP), accept()),
		do("a tag behind a tag", etherType(etherVLAN), jump("tagged")),
		do("the same by 802.1ad", etherType(etherQinQ), jump("tagged")),
		do("ARP from the gateway", etherType(etherARP), key(device, arpSenderIP), in("gateways4"), drop()),
		do("ARP for the gateway", etherType(etherARP), key(device, arpTargetIP), in("gateways4"), drop()),
		do("neighbour discovery", etherType(etherIPv6), neighborDiscovery(), jump(ndChain)),
	}
}

// discovery is a chain of its own, as is "tagged", since nft would otherwise print the target by
// the type's name or not, by version, and so not always read its own listing.
func discovery(device load) []rule {
	return []rule{
		do("from the gateway", etherType(etherIPv6), key(device, ip6Saddr), in("gateways6"), drop()),
		do("for the gateway", key(device, ndTarget), in("gateways_nd"), drop()),
	}
}

// secured lets a container send with its own MAC and addresses only. What is not
// IP or ARP, tagged frames too, could carry either unseen.
var secured = []rule{
	do("a MAC that is not the container's", notKey(iifname, etherSaddr, "source_mac"), drop()),
	do("ARP with the container's addresses", etherType(etherARP), key(iifname, arpSenderMAC), in("source_mac"), key(iifname, arpSenderIP), in("source_ip4"), accept()),
	do("IPv4 from the container's address", etherType(etherIP), key(iifname, ipSaddr), in("source_ip4"), accept()),
	do("a neighbour advertisement", etherType(etherIPv6), is(l4proto, unix.IPPROTO_ICMPV6), is(icmp6Type, 136), jump("advertisement")),
	do("no router", etherType(etherIPv6), is(l4proto, unix.IPPROTO_ICMPV6), is(icmp6Type, 134), drop()),
	do("IPv6 from the container's address", etherType(etherIPv6), key(iifname, ip6Saddr), in("source_ip6"), accept()),
	do("anything else", drop()),
}

func notKey(a, b load, set string) []expr { return append(key(a, b), notIn(set)...) }
