package diagnosis

// Codes of firewalls.
const (
	RulesMissing   Code = "VX0501"
	ForeignDrop    Code = "VX0502"
	BridgeFiltered Code = "VX0503"
	FirewalldZone  Code = "VX0504"
)

var firewallEntries = []Entry{
	{
		Code: RulesMissing, Title: "the driver's firewall rules are missing or changed",
		Meaning: "Tables of the driver lack rules or elements. Published ports, masquerading and the protection of the tunnel depend on them.",
		Causes:  []string{"Somebody ran `nft flush ruleset`, or restarted the service nftables."},
		Mends:   []string{"Run `vxlanctl reload`, and enable `vxlan-reload@nftables.service`."},
	},
	{
		Code: ForeignDrop, Title: "another program's rules drop a network's packets",
		Meaning: "A chain of another firewall drops what a network needs: tunnel packets, forwarded packets, names, or the agents' messages.",
		Causes:  []string{"A firewall with the policy drop has no rule for the network, as of Docker, ufw, or a file of nftables."},
		Mends:   []string{"Type the commands that the finding prints, and add them to that firewall's configuration."},
	},
	{
		Code: BridgeFiltered, Title: "bridged packets pass the IP firewall",
		Meaning: "With br_netfilter, packets between containers of one network pass the chains of the IP firewall, where rules of other programs may drop them.",
		Causes:  []string{"Docker or Kubernetes set net.bridge.bridge-nf-call-iptables to 1."},
		Mends:   []string{"Let the network's bridge pass in that firewall: the finding prints the commands."},
	},
	{
		Code: FirewalldZone, Title: "firewalld does not trust a network's bridge",
		Meaning: "firewalld drops or rejects packets of a bridge that is in no zone which trusts it.",
		Causes:  []string{"firewalld was reloaded or restarted, and forgot the bridge."},
		Mends:   []string{"Run `vxlanctl reload`, and enable `vxlan-reload@firewalld.service`."},
	},
}
