package diagnosis

// Codes of the agent and its cluster.
const (
	AgentMissing    Code = "VX0701"
	AgentProblem    Code = "VX0702"
	AgentOutdated   Code = "VX0703"
	AgentWarning    Code = "VX0704"
	ClusterAlone    Code = "VX0705"
	ClusterStale    Code = "VX0706"
	KeyRefused      Code = "VX0707"
	HostRefused     Code = "VX0708"
	AgentSyncing    Code = "VX0709"
	ConfigBad       Code = "VX0710"
	AgentsPortTaken Code = "VX0711"
	HostCopied      Code = "VX0712"
	// AgentsPortBlocked is seen from the host whose messages are lost.
	AgentsPortBlocked Code = "VX0713"
)

var clusterEntries = []Entry{
	{
		Code: AgentMissing, Title: "the agent does not run",
		Meaning: "Containers need the agent `vxland` for their names or to find other hosts, and it does not run.",
		Causes:  []string{"It was stopped or killed.", "Its configuration is bad: its log says so."},
		Mends: []string{"Run `vxlanctl reload`, which starts it. Look at `journalctl -u vxland`, or " +
			"/run/vxlan/vxland.log without systemd."},
	},
	{
		Code: AgentProblem, Title: "the agent could not set up this host fully",
		Meaning: "The agent tried to bring the host into step, and something failed. It tries again.",
		Causes:  []string{"The finding has the error."},
		Mends:   []string{"Mend what the error names. The agent then goes on by itself."},
	},
	{
		Code: AgentOutdated, Title: "the agent should restart",
		Meaning: "The program or the configuration was changed since the agent started, or its rules are of another version.",
		Causes:  []string{"An upgrade, or a change of /etc/vxlan/vxland.toml."},
		Mends:   []string{"Run `vxlanctl reload`."},
	},
	{
		Code: AgentWarning, Title: "the agent warns",
		Meaning: "Something is about to fail on this host. The finding says what.",
		Causes:  []string{"The finding has the cause."},
		Mends:   []string{"The finding says what to do."},
	},
	{
		Code: ClusterAlone, Title: "no other host was found",
		Meaning: "The agent knows hosts to ask, and none has answered since it started. An address that it hands out may " +
			"be another host's too.",
		Causes: []string{"This host is the first one.", "A firewall drops port 7947.",
			"The seeds are wrong, or their hosts are down."},
		Mends: []string{"Open port 7947 (UDP and TCP) between the hosts.",
			"Correct `remote_ips`, or `seeds` in /etc/vxlan/vxland.toml."},
	},
	{
		Code: ClusterStale, Title: "contact to all other hosts is lost",
		Meaning: "The agent had contact to other hosts and has none. It goes on with what it knew.",
		Causes: []string{"The underlay is interrupted.", "A firewall drops port 7947.",
			"With `discovery=etcd`: no server of etcd answers, or they refuse this host."},
		Mends: []string{"Restore the underlay, or open port 7947 (UDP and TCP).",
			"With `discovery=etcd`: start the servers, or correct `[etcd]` in the configuration."},
	},
	{
		Code: KeyRefused, Title: "another host has another key",
		Meaning: "Messages between the agents are encrypted with a key that the other host does not have. The hosts do not " +
			"know each other's containers.",
		Causes: []string{"`key_file` differs, as after an interrupted rotation.",
			"The other host belongs to another cluster."},
		Mends: []string{"Copy one key file to all hosts.", "See `vxlanctl key ls`."},
	},
	{
		Code: HostRefused, Title: "hosts refuse each other's messages",
		Meaning: "An agent refuses another one: not listed, another cluster's label, or another version.",
		Causes: []string{"A host lists the other one, and not the reverse.", "`cluster` differs.",
			"The versions are too far apart."},
		Mends: []string{"The finding says which, and what to do."},
	},
	{
		Code: AgentSyncing, Title: "the agent still asks the other hosts",
		Meaning: "The agent has just started, or joined, and does not know yet what the other hosts have.",
		Causes:  []string{"It is a matter of seconds, unless hosts do not answer."},
		Mends:   []string{"Wait: `vxlanctl wait ready`."},
	},
	{
		Code: ConfigBad, Title: "the agent's configuration is bad",
		Meaning: "The agent refuses /etc/vxlan/vxland.toml or the key file, and does not start with it.",
		Causes:  []string{"A typing error: `vxlanctl config check` says where."},
		Mends:   []string{"Correct the file, and run `vxlanctl reload`."},
	},
	{
		Code: AgentsPortTaken, Title: "another program has the agents' port",
		Meaning: "The agent cannot listen on its port, so it does not find other hosts.",
		Causes:  []string{"Docker Swarm and other programs with memberlist use the ports 7946 and 7947."},
		Mends:   []string{"Stop the other program, or set `port` in /etc/vxlan/vxland.toml, the same on all hosts."},
	},
	{
		Code: HostCopied, Title: "two hosts have one identity",
		Meaning: "Two hosts that run have the same ID, as after a virtual machine was copied. One of them takes a new ID " +
			"by itself.",
		Causes: []string{"A machine was copied together with /var/lib/vxlan and its machine ID."},
		Mends: []string{
			"Wait ten seconds. If it lasts, /var/lib/vxlan cannot be written on one of them. " +
				"Mend that, and type there: `rm -f /var/lib/vxlan/host-id; pkill -x vxland; sleep 1; vxlanctl reload`.",
			"Give the copy its own machine ID: `systemd-machine-id-setup`, and its own address and containers.",
		},
	},
	{
		Code: AgentsPortBlocked, Title: "the agents' port of another host cannot be reached",
		Meaning: "The other host is there, and messages to its agent are lost. The hosts do not know each other's " +
			"containers, or learn of them late.",
		Causes: []string{"A firewall on the other host, or between them, drops port 7947. It may be one of UDP and TCP, or " +
			"one direction."},
		Mends: []string{"Open port 7947, UDP and TCP, in both directions."},
	},
}
