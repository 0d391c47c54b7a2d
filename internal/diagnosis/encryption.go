package diagnosis

// Codes of encrypted networks.
const (
	WireGuardBlocked Code = "VX1001"
	WireGuardDown    Code = "VX1002"
	ClockSetBack     Code = "VX1003"
	KeysUnsafe       Code = "VX1004"
	WireGuardPort    Code = "VX1005"
	PlaintextSeen    Code = "VX1006"
	MemberWithoutKey Code = "VX1007"
	WireGuardRouting Code = "VX1008"
	KeyDisputed      Code = "VX1009"
	RotationWaits    Code = "VX1010"
)

var encryptionEntries = []Entry{
	{
		Code: WireGuardBlocked, Title: "no WireGuard packet passes between two hosts",
		Meaning: "The agents of both hosts reach each other, and their WireGuard devices do not. Containers of the two " +
			"hosts do not reach each other. Nothing is sent in plaintext instead.",
		Causes: []string{
			"A firewall on either host, or between them, drops WireGuard's UDP port. A network has two ports, one for each " +
				"of its two devices, from 51820 on.",
			"The clock of a host was set back (VX1003).",
		},
		Mends: []string{
			"Open the UDP ports that the finding names, between the hosts and in both directions. Each host has two for the " +
				"network, an even number and the next one. Which one is used changes with the keys.",
			"To choose the ports yourself, create the network with `--opt encryption_port=PORT`.",
		},
	},
	{
		Code: WireGuardDown, Title: "WireGuard does not run",
		Meaning: "A network is encrypted, and its WireGuard device is missing, is down, or has no process. Nothing of the " +
			"network leaves this host, and nothing is taken in.",
		Causes: []string{"wireguard-go ended, and cannot be started again: memory or descriptors are short, or " +
			"/dev/net/tun is missing.", "Somebody has set the device down.", "Another program has a device of that name."},
		Mends: []string{"Look at the log: `journalctl -u 'vxland-wireguard@*'`, or that of the agent.",
			"Type `vxlanctl reload`. The agent tries again by itself, too."},
	},
	{
		Code: ClockSetBack, Title: "the clock of this host was set back",
		Meaning: "WireGuard refuses a handshake whose time of day is not later than that of the last one. So this host " +
			"cannot begin a session until its clock is where it was. Sessions that others begin work.",
		Causes: []string{"A time service, or a person, has corrected a clock that was fast.",
			"A virtual machine was restored from a snapshot."},
		Mends: []string{"Type `vxlanctl encryption rotate`. New keys have no such past.",
			"Or wait for as long as the finding says."},
	},
	{
		Code: KeysUnsafe, Title: "a file with private keys is damaged, or others can read it",
		Meaning: "This host's private keys of encrypted networks are in /run/vxlan/wireguard. Without them nothing of the " +
			"network leaves the host. Whoever can read them can read the network's packets.",
		Causes: []string{"Somebody has changed the file, its owner or its mode."},
		Mends: []string{"Take the file's permissions away from others, and type `vxlanctl encryption rotate`.",
			"Remove a file that cannot be read. The agent makes new keys."},
	},
	{
		Code: WireGuardPort, Title: "another program has WireGuard's UDP port",
		Meaning: "The WireGuard device of a network cannot get its UDP port. Nothing of the network leaves this host.",
		Causes: []string{"The network has the option encryption_port, and a program on this host uses one of its two " +
			"ports: an even number and the next one."},
		Mends: []string{"End the program, or give it another port.",
			"Recreate the network on all hosts with another encryption_port, or without the option."},
	},
	{
		Code: PlaintextSeen, Title: "plaintext of an encrypted network was seen",
		Meaning: "VXLAN packets of an encrypted network were on the underlay without WireGuard. What arrives is dropped. " +
			"What leaves can be read on the way.",
		Causes: []string{"Another host has a network of the same VNI and port that is not encrypted.",
			"Somebody tries to get in.", "Leaving packets: somebody has removed the driver's firewall rules."},
		Mends: []string{"Recreate the network on the host that sends plaintext, with `--opt encryption=wireguard`.",
			"Type `vxlanctl reload` if the rules of this host are missing."},
	},
	{
		Code: MemberWithoutKey, Title: "a host of an encrypted network has no key",
		Meaning: "The host is on the network, and announces no WireGuard key. Nothing is sent to it.",
		Causes: []string{"The network was created there without `--opt encryption=wireguard`.",
			"The driver there is of a version without encryption.", "WireGuard does not run there (VX1002)."},
		Mends: []string{"Recreate the network there with the options that it has here.", "Upgrade the driver there.",
			"Type `vxlanctl doctor` there."},
	},
	{
		Code: WireGuardRouting, Title: "the kernel refuses VXLAN packets of a WireGuard device",
		Meaning: "VXLAN packets inside WireGuard have the hosts' own addresses. The kernel takes them in only with the " +
			"right settings of the device, and sends them over IPv6 only by a rule of routing. Without these they are dropped.",
		Causes: []string{"Another program has set rp_filter of the device to 1, as a file in sysctl.d may.",
			"Somebody has flushed addresses, rules or routes."},
		Mends: []string{"Type `vxlanctl reload`. The agent repairs it within a minute, too.",
			"If it comes again, look for the program that does it: `vxlanctl events`."},
	},
	{
		Code: KeyDisputed, Title: "a host announces the key of another one",
		Meaning: "Two hosts announce one WireGuard key. The one that had it first keeps it. Nothing is sent to the other.",
		Causes: []string{"A host was copied while its containers ran, with /run.",
			"A member of the cluster means harm. It cannot read anything by this."},
		Mends: []string{"On the copy, stop the network's containers, and start them again.",
			"Take a host that you do not trust out of the cluster: `vxlanctl key rotate --without HOST`."},
	},
	{
		Code: RotationWaits, Title: "the keys of a network do not finish rotating",
		Meaning: "New WireGuard keys come into use once each host has answered by its own. Until then the earlier ones " +
			"stay in use, and no packet is lost. After a day the others go on without a host that has not answered. " +
			"Its containers are cut off until it follows.",
		Causes: []string{"The agent of a host does not run.",
			"A firewall lets only one of the network's two UDP ports pass (VX1001)."},
		Mends: []string{"Start the agent of the host that the finding names: `vxlanctl reload` there.",
			"Open both ports that `vxlanctl encryption status` lists.",
			"If the host is gone for good: `vxlanctl host forget HOST`."},
	},
}
