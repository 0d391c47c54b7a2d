package nft

import (
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// Hooks and priorities of bridges (linux/netfilter_bridge.h).
const (
	brPreRouting  = 0
	brPostRouting = 4
	prioBrFilter  = -200
)

// neighborDiscovery matches the ICMPv6 messages 133 to 137 of RFC 4861.
func neighborDiscovery() []Expr {
	return append(is(l4proto, unix.IPPROTO_ICMPV6), between(icmp6Type, 133, 137)...)
}

// bridgeTable is about frames: the gateway's address, which every host has, is
// not heard of across the tunnel; and what a container may send, if the network
// is strict about it. A frame is looked up by the port that it comes from or goes
// to, once each way, and most leave at that.
var bridgeTable = Table{
	Family:     kernel.FamilyBridge,
	Name:       kernel.FirewallTable,
	Version:    "bf3eca4be598",
	RestoredBy: "vxlanctl reload",
	Sets: []Set{
		{Set: kernel.FromPort, Comment: "what comes from a bridge port", Key: []Field{typeDevice}, Value: verdictValue},
		{Set: kernel.ToPort, Comment: "what goes to a bridge port", Key: []Field{typeDevice}, Value: verdictValue},
		{Set: kernel.Gateways4, Comment: "of each VXLAN device", Key: []Field{typeDevice, typeIP4}},
		{Set: kernel.Gateways6, Comment: "of each VXLAN device", Key: []Field{typeDevice, typeIP6}},
		{Set: kernel.GatewaysND, Comment: "of each VXLAN device, as neighbour discovery has it", Key: []Field{readDevice, typeTarget}},
		{Set: kernel.SourceND, Comment: "that a port may advertise", Key: []Field{readDevice, typeTarget}},
		{Set: kernel.SourceMAC, Comment: "that a port may send from", Key: []Field{typeDevice, TypeEther}},
		{Set: kernel.SourceIP4, Comment: "that a port may send from", Key: []Field{typeDevice, typeIP4}},
		{Set: kernel.SourceIP6, Comment: "that a port may send from", Key: []Field{typeDevice, typeIP6}},
	},
	Chains: []Chain{
		{"prerouting", &Hook{Type: "filter", Number: brPreRouting, Priority: prioBrFilter}, []Rule{
			rule("by port", key(iifname), verdictOf("from_port")),
		}},
		{"leave", &Hook{Type: "filter", Number: brPostRouting, Priority: prioBrFilter}, []Rule{
			rule("what most frames are goes anywhere", EtherType(EtherIPv4), accept()),
			rule("by port", key(oifname), verdictOf("to_port")),
		}},
		{"nd_from_tunnel", nil, discovery(iifname)},
		{kernel.ChainFromTunnel, nil, gatewayStaysHome(iifname, "nd_from_tunnel")},
		{"nd_to_tunnel", nil, discovery(oifname)},
		{kernel.ChainToTunnel, nil, gatewayStaysHome(oifname, "nd_to_tunnel")},
		{"tagged", nil, []Rule{
			rule("without a number", append(masked(vlanTag, []byte{0x0f, 0xff}), registerIs(unix.NFT_CMP_EQ, []byte{0, 0})), drop()),
		}},
		{"advertisement", nil, []Rule{
			rule("of another address", notKey(iifname, ndTarget, "source_nd"), drop()),
		}},
		{kernel.ChainPortSecurity, nil, secured},
	},
}

// gatewayStaysHome drops, on the KindVXLAN device, ARP (RFC 826) and neighbour
// discovery (RFC 4861) of or for a gateway address.
//
// A frame is seen without its VLAN tag, and a receiver takes off one more that has no
// number (a priority tag, IEEE 802.1Q): behind two of them ARP would pass unseen.
func gatewayStaysHome(device load, ndChain string) []Rule {
	return []Rule{
		rule("what most frames are", EtherType(EtherIPv4), accept()),
		rule("a tag behind a tag", EtherType(EtherVLAN), Jump("tagged")),
		rule("the same by 802.1ad", EtherType(EtherQinQ), Jump("tagged")),
		rule("ARP from the gateway", EtherType(EtherARP), key(device, arpSenderIP), in("gateways4"), drop()),
		rule("ARP for the gateway", EtherType(EtherARP), key(device, arpTargetIP), in("gateways4"), drop()),
		rule("neighbour discovery", EtherType(EtherIPv6), neighborDiscovery(), Jump(ndChain)),
	}
}

// discovery is a chain of its own, as is "tagged", since nft would otherwise print the target by
// the type's name or not, by version, and so not always read its own listing.
func discovery(device load) []Rule {
	return []Rule{
		rule("from the gateway", EtherType(EtherIPv6), key(device, ip6Saddr), in("gateways6"), drop()),
		rule("for the gateway", key(device, ndTarget), in("gateways_nd"), drop()),
	}
}

// secured lets a container send with its own MAC and addresses only. What is not
// IP or ARP, tagged frames too, could carry either unseen.
var secured = []Rule{
	rule("a MAC that is not the container's", notKey(iifname, etherSaddr, "source_mac"), drop()),
	rule("ARP with the container's addresses", EtherType(EtherARP), key(iifname, arpSenderMAC), in("source_mac"), key(iifname, arpSenderIP), in("source_ip4"), accept()),
	rule("IPv4 from the container's address", EtherType(EtherIPv4), key(iifname, ipSaddr), in("source_ip4"), accept()),
	rule("a neighbour advertisement", EtherType(EtherIPv6), is(l4proto, unix.IPPROTO_ICMPV6), is(icmp6Type, 136), Jump("advertisement")),
	rule("no router", EtherType(EtherIPv6), is(l4proto, unix.IPPROTO_ICMPV6), is(icmp6Type, 134), drop()),
	rule("IPv6 from the container's address", EtherType(EtherIPv6), key(iifname, ip6Saddr), in("source_ip6"), accept()),
	rule("anything else", drop()),
}

func notKey(a, b load, set string) []Expr { return append(key(a, b), notIn(set)...) }
