package diagnosis

// Codes of limits and clocks.
const (
	NeighboursFull Code = "VX0901"
	ConntrackFull  Code = "VX0902"
	AnnounceLimit  Code = "VX0903"
	ClockSkew      Code = "VX0904"
	FilesExhausted Code = "VX0905"
	DirUnwritable  Code = "VX0906"
)

var limitEntries = []Entry{
	{
		Code: NeighboursFull, Title: "the neighbour table is nearly full",
		Meaning: "When the table is full, the host reaches no new neighbour, containers and gateways among them.",
		Causes:  []string{"Many containers or hosts on one segment, with the kernel's small default."},
		Mends:   []string{"Raise net.ipv4.neigh.default.gc_thresh3, or that of ipv6."},
	},
	{
		Code: ConntrackFull, Title: "the table of connections is nearly full",
		Meaning: "When the table is full, the kernel drops packets of new connections.",
		Causes:  []string{"Many short connections, or an attack."},
		Mends:   []string{"Raise net.netfilter.nf_conntrack_max."},
	},
	{
		Code: AnnounceLimit, Title: "this host has more than it can announce",
		Meaning: "A limit of networks, containers or bytes is reached. Other hosts do not learn of what is beyond it.",
		Causes:  []string{"Too many containers on one host."},
		Mends:   []string{"Move containers to other hosts."},
	},
	{
		Code: ClockSkew, Title: "the clocks of two hosts differ",
		Meaning: "Traffic that is not encrypted does not need clocks, and for encrypted networks see VX1003. Tokens expire " +
			"at the wrong time, and logs of two hosts are hard to compare.",
		Causes: []string{"No time service runs on one of the hosts."},
		Mends:  []string{"Enable systemd-timesyncd, chrony or another time service."},
	},
	{
		Code: FilesExhausted, Title: "descriptors, memory or watches are short",
		Meaning: "The agent could not open what it needs. It goes on with less and tries again.",
		Causes:  []string{"fs.inotify.max_user_instances or the limit of open files is reached."},
		Mends:   []string{"Raise the limit that the finding names."},
	},
	{
		Code: DirUnwritable, Title: "a directory of the driver cannot be written",
		Meaning: "The file system of /run/vxlan or /var/lib/vxlan has no space left, or is mounted read-only. Containers " +
			"do not start or stop cleanly, or the host forgets its identity at the next boot.",
		Causes: []string{"A log or a container has filled the file system.",
			"The kernel has made it read-only after an error of the disk."},
		Mends: []string{"Free some space, or mount it writable again: the finding has the command."},
	},
}
