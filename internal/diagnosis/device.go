package diagnosis

// Codes of devices, bridges and forwarding tables.
const (
	DeviceMissing     Code = "VX0401"
	DeviceAltered     Code = "VX0402"
	ForwardingAltered Code = "VX0403"
	NeighbourAltered  Code = "VX0404"
	FastPathMissing   Code = "VX0405"
	DeviceForeign     Code = "VX0406"
	OffloadBroken     Code = "VX0407"
	GatewayMissing    Code = "VX0408"
	ContainerAltered  Code = "VX0409"
	DeviceNamed       Code = "VX0410"
	ContainerSilent   Code = "VX0411"
	DeviceManaged     Code = "VX0412"
)

var deviceEntries = []Entry{
	{
		Code: DeviceMissing, Title: "a device of a network is missing",
		Meaning: "The bridge, the VXLAN device or a container's port is gone from the kernel, although containers need it.",
		Causes:  []string{"Somebody or another program removed it."},
		Mends:   []string{"Run `vxlanctl reload`."},
	},
	{
		Code: DeviceAltered, Title: "a device of a network was changed",
		Meaning: "A device has another state, MTU, master, flag or MAC than the network needs.",
		Causes:  []string{"NetworkManager, systemd-networkd or a person changed it."},
		Mends:   []string{"Run `vxlanctl reload`, and keep the other program away from the device."},
	},
	{
		Code: ForwardingAltered, Title: "forwarding entries are missing or wrong",
		Meaning: "The FDB of a bridge or of a VXLAN device leads to the wrong host, or lacks a container.",
		Causes:  []string{"Somebody changed the entries.", "The agent could not follow the other hosts' news."},
		Mends:   []string{"Run `vxlanctl reload`."},
	},
	{
		Code: NeighbourAltered, Title: "neighbour entries are missing or wrong",
		Meaning: "The bridge answers ARP and ND for containers of other hosts from these entries. A wrong one leads to the " +
			"wrong container.",
		Causes: []string{"Somebody flushed or changed the neighbour table."},
		Mends:  []string{"Run `vxlanctl reload`."},
	},
	{
		Code: FastPathMissing, Title: "the fast path is missing",
		Meaning: "Packets between containers of two hosts take the way through the bridge. They arrive, more slowly.",
		Causes:  []string{"Another program removed the rules or filters.", "The kernel cannot have them."},
		Mends:   []string{"Run `vxlanctl reload`."},
	},
	{
		Code: DeviceForeign, Title: "another program's device is in the way",
		Meaning: "A link has the name or the VNI that a network needs, and is not the driver's.",
		Causes:  []string{"Somebody made it by hand, or another network program did."},
		Mends:   []string{"Remove that link, or give the network another name or VNI."},
	},
	{
		Code: OffloadBroken, Title: "checksums of packets are wrong",
		Meaning: "Packets arrive with wrong checksums, and the receiver drops them. Connections hang, and `ping` works.",
		Causes: []string{
			"The sender's network card, its driver or a hypervisor computes checksums of VXLAN packets wrongly.",
			"Something on the way changes packets, and not their checksums.",
		},
		Mends: []string{
			"If those of containers' packets are wrong, type on the sender: `ethtool -K vxlan-NETWORK tx-checksum-ip-generic " +
				"off`. " +
				"`vxlanctl network set NETWORK tx_checksum_offload=off` makes it stay.",
			"If those of the VXLAN packets are wrong: `ethtool -K INTERFACE tx-checksum-ip-generic off " +
				"tx-udp_tnl-csum-segmentation off`.",
		},
	},
	{
		Code: GatewayMissing, Title: "the gateway's address is not on the bridge",
		Meaning: "Containers send to the gateway what leaves the network. Without its address they reach nothing outside.",
		Causes:  []string{"Somebody flushed the addresses of the bridge."},
		Mends:   []string{"Run `vxlanctl reload`."},
	},
	{
		Code: ContainerAltered, Title: "a container's interface was changed",
		Meaning: "The interface inside of the container lacks an address, a route or a setting, or is down. The driver " +
			"does not repair it: a container may change its own.",
		Causes: []string{"A program in the container, or somebody with `nsenter`, changed it."},
		Mends:  []string{"Type the commands that the finding prints, or restart the container."},
	},
	{
		Code: DeviceNamed, Title: "a device has lost its mark",
		Meaning: "The alias tells whose device it is. Without it another run may take the device for somebody else's.",
		Causes:  []string{"Another program set the alias or removed an alternative name."},
		Mends:   []string{"Run `vxlanctl reload`."},
	},
	{
		Code: ContainerSilent, Title: "a container does not answer on its bridge",
		Meaning: "The host asked on the bridge who has the container's address, and nobody answered. Other containers do " +
			"not reach it either.",
		Causes: []string{"A firewall in the container, or on the bridge, drops ARP.",
			"The container has another address than it was given."},
		Mends: []string{"Restart the container."},
	},
	{
		Code: DeviceManaged, Title: "another program manages a device of a network",
		Meaning: "NetworkManager, systemd-networkd or another program that configures networks counts a bridge, a VXLAN " +
			"device or a container's port as its own. " +
			"It may take addresses off, ask for others by DHCP, or set another MTU or MAC.",
		Causes: []string{
			"The file that keeps the program away from the driver's devices is missing: it is in the package.",
			"A network or a container has a device name of your own, which that file does not know.",
			"A file of the program matches all devices, and sorts before the driver's.",
		},
		Mends: []string{"Type the commands that the finding prints: they make the program leave the devices alone."},
	},
}
