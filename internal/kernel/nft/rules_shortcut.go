package nft

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// chainContainers is for what comes from any port.
const chainContainers = "containers"

var shortcutSets = []set{
	{Set: kernel.FastPathRemote, says: "MACs on other hosts", key: []field{typeEther}},
}

// shortcutVersion is like a table's version.
const shortcutVersion = "1ad44bfe8575"

// shortcutTable is the table of the network of a KindVXLAN device, without ports.
//
// It passes on what the bridge table lets pass whatever it says: IPv4, and IPv6 that neighbour discovery is no part of.
// A packet that is not for a MAC it knows goes on to the bridge. The index is in rules and in
// the table's comment, since a device that is made anew has another and the rules would
// drop what they pass to the old one.
func shortcutTable(device string, index int) table {
	return table{
		family:  kernel.FamilyNetdev,
		name:    kernel.FastPathTable(device),
		version: fmt.Sprintf("%s for device %d", shortcutVersion, index),
		mended:  "the agent",
		sets:    shortcutSets,
		chains: []chain{
			{chainContainers, nil, []rule{
				do("IPv4 to another host", etherType(etherIP), toMAC(), in("remote"), passTo(uint32(index))),
				do("IPv6 to another host", etherType(etherIPv6), notICMPv6(), toMAC(), in("remote"), passTo(uint32(index))),
			}},
		},
	}
}

// portChain has the rules of one port.
func portChain(p kernel.FastPathPort) chain {
	const ingress = 0 // NF_NETDEV_INGRESS
	hook := &hook{kind: "filter", number: ingress, priority: prioFilter, device: p.Name}
	return chain{p.Chain(), hook, []rule{do("from a container", jump(chainContainers))}}
}

// toMAC loads the Ethernet destination. Without the first step nft does not list it by its name.
func toMAC() []expr {
	const ether = 1 // ARPHRD_ETHER
	return append(is(iiftype, binary.NativeEndian.AppendUint16(nil, ether)...), key(etherDaddr)...)
}

func notICMPv6() []expr { return compare(l4proto, unix.NFT_CMP_NEQ, []byte{unix.IPPROTO_ICMPV6}) }
