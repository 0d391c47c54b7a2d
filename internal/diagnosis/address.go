package diagnosis

// Codes of addresses, MACs and names.
const (
	DuplicateAddress  Code = "VX0601"
	DuplicateMAC      Code = "VX0602"
	DuplicateName     Code = "VX0603"
	DuplicateGateway  Code = "VX0604"
	NetworksDiffer    Code = "VX0605"
	SubnetOverlap     Code = "VX0606"
	ListsDiffer       Code = "VX0607"
	VNIConflict       Code = "VX0608"
	ForeignInOverlay  Code = "VX0609"
	AddressPoolFilled Code = "VX0610"
)

var addressEntries = []Entry{
	{
		Code: DuplicateAddress, Title: "two containers have one address",
		Meaning: "Two containers of a network have the same address. Packets reach one of them.",
		Causes: []string{"Both were started while their hosts could not reach each other.",
			"Both were given the address by `--ip`."},
		Mends: []string{"Restart one of the containers: it gets another address."},
	},
	{
		Code: DuplicateMAC, Title: "two containers have one MAC",
		Meaning: "Frames for this MAC reach one of the containers, by chance.",
		Causes:  []string{"Both were given the MAC by `--mac-address`.", "A machine was copied with its containers."},
		Mends:   []string{"Recreate one of the containers with another MAC."},
	},
	{
		Code: DuplicateName, Title: "two containers have one name",
		Meaning: "Containers of two hosts have the same name on a network. The name resolves to the addresses of both.",
		Causes:  []string{"Podman knows the names of its own host only."},
		Mends:   []string{"Rename one of them, or mean it: a name of several containers is an alias."},
	},
	{
		Code: DuplicateGateway, Title: "somebody else answers for the gateway",
		Meaning: "A container, or a device in the overlay, has the gateway's address. Containers may send to it what " +
			"should leave the network.",
		Causes: []string{"A container was given the gateway's address.",
			"Another bridge or router is attached to the overlay."},
		Mends: []string{"Give that container or device another address."},
	},
	{
		Code: NetworksDiffer, Title: "hosts have set up a network differently",
		Meaning: "A network has other subnets, options or another MTU on another host. Some packets are lost, or pass on " +
			"one side only.",
		Causes: []string{"The network was recreated on one host with other options."},
		Mends:  []string{"Recreate the network on one of the hosts: the finding says what differs."},
	},
	{
		Code: SubnetOverlap, Title: "a subnet overlaps with another one of this host",
		Meaning: "The host has another network or route for addresses of the network's subnet. Packets may take the other " +
			"way.",
		Causes: []string{"A network of Podman, Docker or a VPN has the same addresses.",
			"A route or a policy rule (`ip rule`) leads the subnet elsewhere, or refuses it.",
			"Somebody replaced the bridge's route, and its source is the gateway's address now. Each host has that one."},
		Mends: []string{"Recreate one of the networks with another subnet.",
			"Delete the route or rule: the finding has the command."},
	},
	{
		Code: ListsDiffer, Title: "hosts list different hosts",
		Meaning: "This host's `remote_ips` lacks a host that lists it, or the reverse. Each drops packets of hosts that it " +
			"does not list.",
		Causes: []string{"A host was added on some hosts only."},
		Mends: []string{"On the host whose list lacks one: `vxlanctl network peer add NETWORK ADDRESS`.",
			"Use `discovery=gossip`, which needs no list."},
	},
	{
		Code: VNIConflict, Title: "two networks have one VNI",
		Meaning: "Two networks on one UDP port have the same VNI, so their containers share one segment or lose packets.",
		Causes:  []string{"The VNI was given twice."},
		Mends:   []string{"Recreate one of the networks with another `vni`."},
	},
	{
		Code: ForeignInOverlay, Title: "an unknown sender is in the overlay",
		Meaning: "Frames come from a MAC or an address that no container of any host has.",
		Causes:  []string{"A container runs virtual machines or a bridge of its own.", "Somebody injects frames."},
		Mends:   []string{"Use `--opt port_security=true`, if containers should send only from their own addresses."},
	},
	{
		Code: AddressPoolFilled, Title: "no address is left",
		Meaning: "All addresses that this host may hand out are in use. The next container does not start.",
		Causes: []string{"The subnet, or this host's part of it, is too small.",
			"Addresses of hosts that are gone are still reserved."},
		Mends: []string{"Forget hosts that are gone: `vxlanctl host forget HOST`.",
			"Recreate the network with a larger subnet, on all hosts."},
	},
}
