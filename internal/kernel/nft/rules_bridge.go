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

// matchND matches the ICMPv6 messages 133 to 137 of RFC 4861.
func matchND() []Expr {
	return append(match(l4proto, unix.IPPROTO_ICMPV6), matchRange(icmp6Type, 133, 137)...)
}

// bridgeTable is about frames. ARP and ND for the gateway's address, which every host has, must not
// cross the tunnel. Where a network has port security, containers may send from their own addresses
// only. A frame is looked up by the port that it comes from and by the one that it goes to, and for
// most that is all.
var bridgeTable = Table{
	Family:     kernel.FamilyBridge,
	Name:       kernel.FirewallTable,
	Version:    "20795e53361c",
	RestoredBy: "vxlanctl reload",
	Sets: []Set{
		{Set: kernel.FromPort, Comment: "checks of frames from a bridge port", Key: []Field{typeDevice}, Value: verdictValue},
		{Set: kernel.ToPort, Comment: "checks of frames to a bridge port", Key: []Field{typeDevice}, Value: verdictValue},
		{Set: kernel.Gateways4, Comment: "gateways of each VXLAN device", Key: []Field{typeDevice, typeIP4}},
		{Set: kernel.Gateways6, Comment: "gateways of each VXLAN device", Key: []Field{typeDevice, typeIP6}},
		{Set: kernel.GatewaysND, Comment: "gateways of each VXLAN device, as ND targets",
			Key: []Field{readDevice, typeTarget}},
		{Set: kernel.SourceND, Comment: "addresses that a port may advertise", Key: []Field{readDevice, typeTarget}},
		{Set: kernel.SourceMAC, Comment: "addresses that a port may send from", Key: []Field{typeDevice, TypeEther}},
		{Set: kernel.SourceIP4, Comment: "addresses that a port may send from", Key: []Field{typeDevice, typeIP4}},
		{Set: kernel.SourceIP6, Comment: "addresses that a port may send from", Key: []Field{typeDevice, typeIP6}},
	},
	Chains: []Chain{
		{"prerouting", &Hook{Type: "filter", Number: brPreRouting, Priority: prioBrFilter}, []Rule{
			rule("by bridge port", vmap("from_port", iifname)),
			// Containers must not answer for other hosts' agents.
			rule("tunnel probe from a container", EtherType(etherProbe), match(probeMagic, []byte("vxlprobe")...),
				notName(iifkind, "vxlan"), drop()),
		}},
		{"postrouting", &Hook{Type: "filter", Number: brPostRouting, Priority: prioBrFilter}, []Rule{
			rule("IPv4 needs no check", EtherType(EtherIPv4), accept()),
			rule("by bridge port", vmap("to_port", oifname)),
		}},
		{"nd_from_tunnel", nil, ndRules(iifname)},
		{kernel.ChainFromTunnel, nil, tunnelRules(iifname, "nd_from_tunnel")},
		{"nd_to_tunnel", nil, ndRules(oifname)},
		{kernel.ChainToTunnel, nil, tunnelRules(oifname, "nd_to_tunnel")},
		{"priority_tag", nil, []Rule{
			rule("VLAN 0 hides what is behind it", matchMasked(vlanTag, []byte{0x0f, 0xff}, unix.NFT_CMP_EQ, []byte{0, 0}),
				drop()),
		}},
		{"nd_advertisement", nil, []Rule{
			rule("advertises another's address", notInSet("source_nd", iifname, ndTarget), drop()),
		}},
		{kernel.ChainPortSecurity, nil, portSecurity},
	},
}

// tunnelRules drops, on the VXLAN device, ARP (RFC 826) and neighbour discovery (RFC 4861) of or
// for a gateway address.
//
// The table sees a frame without its VLAN tag, and a receiver takes off one more that is of VLAN 0
// (a priority tag, IEEE 802.1Q). So ARP behind two of them would pass unseen.
func tunnelRules(device packetField, ndChain string) []Rule {
	return []Rule{
		rule("IPv4 needs no check", EtherType(EtherIPv4), accept()),
		rule("VLAN tag behind a tag", EtherType(EtherVLAN), Jump("priority_tag")),
		rule("802.1ad tag behind a tag", EtherType(EtherQinQ), Jump("priority_tag")),
		rule("ARP from the gateway", EtherType(EtherARP), inSet("gateways4", device, arpSenderIP), drop()),
		rule("ARP for the gateway", EtherType(EtherARP), inSet("gateways4", device, arpTargetIP), drop()),
		rule("neighbour discovery", EtherType(EtherIPv6), matchND(), Jump(ndChain)),
	}
}

// ndRules are in a chain of their own, as is "priority_tag": otherwise nft would print the target
// by the type's name or not, by its version, and so not always read its own listing.
func ndRules(device packetField) []Rule {
	return []Rule{
		rule("ND from the gateway", EtherType(EtherIPv6), inSet("gateways6", device, ip6Saddr), drop()),
		rule("ND for the gateway", inSet("gateways_nd", device, ndTarget), drop()),
	}
}

// portSecurity lets a container send with its own MAC and addresses only. What is not IP or ARP,
// tagged frames too, could carry either unseen.
var portSecurity = []Rule{
	rule("not from the container's MAC", notInSet("source_mac", iifname, etherSaddr), drop()),
	rule("ARP with the container's addresses", EtherType(EtherARP), inSet("source_mac", iifname, arpSenderMAC),
		inSet("source_ip4", iifname, arpSenderIP), accept()),
	rule("IPv4 from the container's address", EtherType(EtherIPv4), inSet("source_ip4", iifname, ipSaddr), accept()),
	rule("neighbour advertisement", EtherType(EtherIPv6), match(l4proto, unix.IPPROTO_ICMPV6), match(icmp6Type, 136),
		Jump("nd_advertisement")),
	rule("router advertisement", EtherType(EtherIPv6), match(l4proto, unix.IPPROTO_ICMPV6), match(icmp6Type, 134), drop()),
	rule("IPv6 from the container's address", EtherType(EtherIPv6), inSet("source_ip6", iifname, ip6Saddr), accept()),
	rule("anything else", drop()),
}
