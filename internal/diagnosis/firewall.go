package diagnosis

// Codes of firewalls.
const (
	RulesMissing   Code = "VX0501"
	ForeignDrop    Code = "VX0502"
	BridgeFiltered Code = "VX0503"
	FirewalldZone  Code = "VX0504"
	DeviceHook     Code = "VX0505"
	ForeignRule    Code = "VX0506"
	FirewalldPanic Code = "VX0507"
	PortFileOld    Code = "VX0508"
	UserRefused    Code = "VX0509"
)

var firewallEntries = []Entry{
	{
		Code: RulesMissing, Title: "the driver's firewall rules are missing or changed",
		Meaning: "Tables of the driver lack rules or elements. Published ports, masquerading and the protection of the " +
			"tunnel depend on them.",
		Causes: []string{"Somebody ran `nft flush ruleset`, or restarted the service nftables."},
		Mends:  []string{"Run `vxlanctl reload`, and enable `vxlan-reload@nftables.service`."},
	},
	{
		Code: ForeignDrop, Title: "another program's rules drop a network's packets",
		Meaning: "A chain of another firewall drops what a network needs: tunnel packets, forwarded packets, names, or the " +
			"agents' messages.",
		Causes: []string{"A firewall with the policy drop has no rule for the network, as of Docker, ufw, or a file of " +
			"nftables."},
		Mends: []string{"Type the commands that the finding prints, and add them to that firewall's configuration."},
	},
	{
		Code: BridgeFiltered, Title: "bridged packets pass the IP firewall",
		Meaning: "With br_netfilter, packets between containers of one network pass the chains of the IP firewall, where " +
			"rules of other programs may drop them.",
		Causes: []string{"Docker or Kubernetes set net.bridge.bridge-nf-call-iptables to 1."},
		Mends:  []string{"Let the network's bridge pass in that firewall: the finding prints the commands."},
	},
	{
		Code: FirewalldZone, Title: "firewalld does not trust a network's bridge",
		Meaning: "firewalld drops or rejects packets of a bridge that is in no zone which trusts it.",
		Causes:  []string{"firewalld was reloaded or restarted, and forgot the bridge."},
		Mends:   []string{"Run `vxlanctl reload`, and enable `vxlan-reload@firewalld.service`."},
	},
	{
		Code: DeviceHook, Title: "a filter on a device may drop a network's packets",
		Meaning: "A filter of `tc`, a queueing discipline or an XDP program is attached to a device that packets of " +
			"networks pass, and is not the driver's.",
		Causes: []string{"Another network program, a traffic shaper or a test left it there."},
		Mends:  []string{"Type the command that the finding prints, if nobody needs the filter."},
	},
	{
		Code: ForeignRule, Title: "another program's rule may drop a network's packets",
		Meaning: "Packets to another host are lost, and a rule that names the network's port or device drops some. It has " +
			"conditions that `vxlanctl doctor` cannot decide, such as a size or a rate.",
		Causes: []string{"A firewall limits the rate or the size of packets."},
		Mends:  []string{"Delete the rule, or let the network's packets pass before it."},
	},
	{
		Code: FirewalldPanic, Title: "firewalld is in panic mode",
		Meaning: "firewalld drops all packets that this host sends or receives.",
		Causes:  []string{"Somebody typed `firewall-cmd --panic-on`."},
		Mends:   []string{"Type `firewall-cmd --panic-off`."},
	},
	{
		Code: PortFileOld, Title: "a file for the firewall lacks a port of the driver",
		Meaning: "firewalld or ufw opens the ports that a file of the driver lists, and this one lacks a port. Hosts that " +
			"join by a token get no answer from this one.",
		Causes: []string{"The file is of an older version, or a copy of one below /etc."},
		Mends:  []string{"Type the commands that the finding prints."},
	},
	{
		Code: UserRefused, Title: "a process that is not root's sent to the VXLAN port or to an agent",
		Meaning: "Only root may send VXLAN packets of the networks and talk to agents. The firewall has dropped what " +
			"another user's process sent: UDP fails with \"Operation not permitted\", and TCP connections time out.",
		Causes: []string{"A check tries whether a port is open, and runs as a user of its own.",
			"A program of a user sends VXLAN packets itself.",
			"Somebody on this host tries to get into containers of other hosts."},
		Mends: []string{"Type `vxlanctl drops -f`: it shows the packets while they are dropped.",
			"If the user may: add the user to `allow_users` in vxland.toml, and run `vxlanctl reload`. That also sets the " +
				"count to zero."},
	},
}
