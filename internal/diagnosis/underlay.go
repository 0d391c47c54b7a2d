package diagnosis

// Codes of the underlay.
const (
	UnderlayLost    Code = "VX0201"
	UnderlayMoved   Code = "VX0202"
	NoRoute         Code = "VX0203"
	WrongSource     Code = "VX0204"
	UnderlayMTU     Code = "VX0205"
	TunnelPortTaken Code = "VX0206"
	WrongNeighbour  Code = "VX0207"
)

var underlayEntries = []Entry{
	{
		Code: UnderlayLost, Title: "the underlay's interface or address is gone",
		Meaning: "The host has no address from which a network could send to other hosts. " +
			"Its containers reach each other and nobody else.",
		Causes: []string{"The interface is down or was removed.", "DHCP gave the host another address.",
			"Somebody gave the address the scope `host` or `link`, with which it is not for packets to others.",
			"`local_ip` or `physical_interface` names what this host does not have."},
		Mends: []string{"Set the interface up, and give it its address.",
			"Recreate the network with `--opt local_ip=auto --opt physical_interface=auto`."},
	},
	{
		Code: UnderlayMoved, Title: "a network sends from another address than it was given",
		Meaning: "The address or interface that a network names is not usable, so it sends from another one of the host.",
		Causes:  []string{"The interface is down for the moment."},
		Mends:   []string{"Set the interface up. The network goes back by itself."},
	},
	{
		Code: NoRoute, Title: "no route to another host",
		Meaning: "The kernel has no route to the other host's address, or one that refuses.",
		Causes: []string{"The default route is missing.", "A blackhole, unreachable or prohibit route covers the address.",
			"A policy rule (`ip rule`) leads to a table without a route.",
			"An IPsec policy blocks packets to it (`ip xfrm policy`)."},
		Mends: []string{"Look at `ip route get ADDRESS`, and add the route."},
	},
	{
		Code: WrongSource, Title: "packets leave from another address than the network's",
		Meaning: "The route to another host prefers a source address that is not the network's. " +
			"The other host drops packets from an address that it does not know as a member's.",
		Causes: []string{"The host has several addresses, and the route names another one as its source."},
		Mends:  []string{"Create the network with the `local_ip` that the route uses, or mend the route."},
	},
	{
		Code: UnderlayMTU, Title: "the underlay's MTU is too small for the network",
		Meaning: "The network's MTU and the VXLAN header (50 bytes, 70 over IPv6) together exceed the underlay's MTU. " +
			"Large packets are lost or fragmented.",
		Causes: []string{"The interface's MTU was lowered after the network was created.",
			"`--opt mtu` is too large for this host."},
		Mends: []string{"Raise the interface's MTU.",
			"Type on all hosts, with a size that fits: `vxlanctl network set NETWORK mtu=SIZE`."},
	},
	{
		Code: TunnelPortTaken, Title: "another program has the tunnel's port",
		Meaning: "A VXLAN device needs its UDP port for itself. Another VXLAN device with the same VNI, or another " +
			"program, has it.",
		Causes: []string{"Docker's overlay, flannel, Calico or another VXLAN program uses the port and VNI."},
		Mends:  []string{"Give the network another `vxlan_port` or `vni`, the same on all hosts."},
	},
	{
		Code: WrongNeighbour, Title: "the kernel has a wrong MAC for another host",
		Meaning: "A fixed neighbour entry on the underlay leads to another MAC than the one that has the host's address. " +
			"Packets to the host go astray.",
		Causes: []string{"Somebody set the entry, and the host has another network card since."},
		Mends:  []string{"Delete the entry: the finding has the command."},
	},
}
