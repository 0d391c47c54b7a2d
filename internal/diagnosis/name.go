package diagnosis

// Codes of container names.
const (
	NamesUnanswered Code = "VX0801"
	UpstreamSilent  Code = "VX0802"
	NamesBlocked    Code = "VX0803"
)

var nameEntries = []Entry{
	{
		Code: NamesUnanswered, Title: "container names are not answered",
		Meaning: "The agent's name server does not answer a question from a container of the network.",
		Causes: []string{"The agent does not run, or not on the gateway's address.",
			"Another server answers in its place.",
			"The container's /etc/resolv.conf names another server, as when no agent was installed at its start."},
		Mends: []string{"Run `vxlanctl reload`.", "Restart the container: it gets a new /etc/resolv.conf."},
	},
	{
		Code: UpstreamSilent, Title: "no name server outside answers",
		Meaning: "Containers find each other by name, and no name of the outside.",
		Causes: []string{"The servers in the host's /etc/resolv.conf do not answer.",
			"There is none, or only the host's own resolver, which containers do not reach."},
		Mends: []string{"Mend the host's name servers, or create the network with `--dns SERVER`."},
	},
	{
		Code: NamesBlocked, Title: "a firewall drops questions for names",
		Meaning: "A container's question to its gateway, port 53, is dropped on this host, or led elsewhere.",
		Causes: []string{"An input chain of another firewall drops what comes from the bridge.",
			"A rule redirects port 53 to another server.",
			"A rule exempts port 53 from connection tracking, so that nothing leads the question to the agent."},
		Mends: []string{"Type the commands that the finding prints."},
	},
}
