package diagnosis

// Codes of tunnels to other hosts.
const (
	TunnelBlocked   Code = "VX0301"
	TunnelOneWay    Code = "VX0302"
	TunnelMTU       Code = "VX0303"
	TunnelLoss      Code = "VX0304"
	TunnelNAT       Code = "VX0305"
	TunnelMismatch  Code = "VX0306"
	DuplicateVTEP   Code = "VX0307"
	TunnelUntested  Code = "VX0308"
	ForeignSender   Code = "VX0309"
	PeerUnreachable Code = "VX0310"
)

var tunnelEntries = []Entry{
	{
		Code: TunnelBlocked, Title: "no VXLAN packet passes between two hosts",
		Meaning: "Packets of containers get lost on the way to another host and on the way back.",
		Causes: []string{"A firewall on either host, or between them, drops the tunnel's UDP port.",
			"A cloud's security group lets only TCP pass.",
			"Without agents: no container of the network runs on the other host, and another network has the UDP port " +
				"there. Then nothing is wrong."},
		Mends: []string{"Open the tunnel's UDP port (4789 unless the network has another) between the hosts, in both " +
			"directions."},
	},
	{
		Code: TunnelOneWay, Title: "VXLAN packets pass in one direction only",
		Meaning: "One host's packets arrive at the other one, and not the reverse. No connection comes about. The finding " +
			"says which host's packets are lost.",
		Causes: []string{
			"This host drops what arrives: the finding says so where the other host's answers come to the underlay's " +
				"interface.",
			"A firewall on the other host, or before it, drops the tunnel's UDP port.",
		},
		Mends: []string{"Open the tunnel's UDP port on the host that drops the packets, this one first."},
	},
	{
		Code: TunnelMTU, Title: "large frames are lost on the way to another host",
		Meaning: "Small packets pass and full ones are lost: `ping` works, connections hang as soon as they carry data.",
		Causes:  []string{"A link between the hosts has a smaller MTU than the hosts' interfaces."},
		Mends: []string{"Raise the MTU of that link.",
			"Type on all hosts: `vxlanctl network set NETWORK mtu=SIZE`. The evidence has the size that passes."},
	},
	{
		Code: TunnelLoss, Title: "some VXLAN packets are lost on the way to another host",
		Meaning: "A part of the packets does not arrive. Connections are slow.",
		Causes: []string{"A link is overloaded or damaged.",
			"A path of several has a fault, as in a bond or behind a router with many paths."},
		Mends: []string{"Look at the counters of the interfaces on the way (`ip -s link`, `ethtool -S`)."},
	},
	{
		Code: TunnelNAT, Title: "an address translator changes the tunnel's source",
		Meaning: "VXLAN packets of a host arrive with another address than its own. They are not a member's, and are " +
			"dropped.",
		Causes: []string{"A router, or a masquerading rule on the sender, translates packets between the hosts."},
		Mends: []string{"Exempt the tunnel's UDP port from translation.",
			"Use addresses that both hosts reach without translation."},
	},
	{
		Code: TunnelMismatch, Title: "another host has another VNI or port",
		Meaning: "Two hosts have a network of one name, whose VNI or UDP port differs. Their containers do not reach each " +
			"other.",
		Causes: []string{"The network was created with other options on one of them."},
		Mends:  []string{"Recreate the network on one of the hosts, with the options of the other."},
	},
	{
		Code: DuplicateVTEP, Title: "two hosts have one underlay address",
		Meaning: "Two hosts that run have the same address on the underlay. Packets reach one or the other by chance.",
		Causes:  []string{"A virtual machine was copied with its fixed address.", "DHCP's range has a fixed address in it."},
		Mends:   []string{"Give one of the hosts another address."},
	},
	{
		Code: TunnelUntested, Title: "it is not known whether a tunnel works",
		Meaning: "The other host did not answer to the test. It may run an older agent, or none.",
		Causes:  []string{"No container of the network runs there, or its agent does not."},
		Mends:   []string{"Start a container of the network there, or upgrade the other host."},
	},
	{
		Code: ForeignSender, Title: "packets come from hosts that are no members",
		Meaning: "This host drops VXLAN packets of its networks that do not come from a member.",
		Causes: []string{"A host's list (`remote_ips`) lacks the sender.", "A translator changed the sender's address.",
			"Somebody tries to get in."},
		Mends: []string{"If the host belongs there: `vxlanctl network peer add NETWORK ADDRESS`, or let it join the " +
			"cluster."},
	},
	{
		Code: PeerUnreachable, Title: "another host does not answer",
		Meaning: "The agent of another host answered once and no longer does. Its containers' names are hidden, and its " +
			"addresses stay reserved.",
		Causes: []string{"The host is down, or cut off.", "Its firewall drops port 7947 (UDP and TCP)."},
		Mends:  []string{"Start the host, or open the port.", "If it is gone for good: `vxlanctl host forget HOST`."},
	},
}
