package diagnosis

import "vxlan-driver/internal/installed"

// Codes of this host's kernel and programs.
const (
	KernelFeature  Code = "VX0101"
	SysctlChanged  Code = "VX0102"
	PodmanVersion  Code = "VX0103"
	ProgramMissing Code = "VX0104"
	FactUnknown    Code = "VX0105"
	RecordLost     Code = "VX0106"
	SysctlFile     Code = "VX0107"
	SecurityDenied Code = "VX0108"
	LockHeld       Code = "VX0109"
	NetworkEdited  Code = "VX0110"
	NamespaceLost  Code = "VX0111"
)

var hostEntries = []Entry{
	{
		Code: KernelFeature, Title: "the kernel lacks a feature",
		Meaning: "The kernel, or a module that is not loaded, lacks something that VXLAN networks need. " +
			"Containers of such networks do not start on this host.",
		Causes: []string{
			"The kernel was upgraded, and the modules of the kernel that runs are gone.",
			"The kernel was built without VXLAN, bridges, veth or nftables, as in some clouds and virtual machines.",
		},
		Mends: []string{"Reboot into the kernel that is installed.",
			"Install the distribution's package of further kernel modules, or another kernel."},
	},
	{
		Code: SysctlChanged, Title: "a kernel parameter has another value",
		Meaning: "A network needs a kernel parameter that somebody has set to another value. " +
			"Depending on the parameter, containers have no way out or do not answer.",
		Causes: []string{"A file in /etc/sysctl.d, or another program, sets the parameter."},
		Mends:  []string{"Run `vxlanctl reload`, and remove the other setting, or it comes back at the next boot."},
	},
	{
		Code: PodmanVersion, Title: "a version of Podman or netavark",
		Meaning: "The installed version of Podman or netavark is too old, or behaves in a way that a network relies on and " +
			"that changes.",
		Causes: []string{"The host has an older or newer distribution than the others."},
		Mends:  []string{"Upgrade the package, or read the evidence: it says what is different."},
	},
	{
		Code: ProgramMissing, Title: "a program is not where it is looked for",
		Meaning: "Podman finds the plugin `vxlan`, or the plugin finds the agent `vxland`, only in certain directories.",
		Causes: []string{"The installation was interrupted, or went below another directory.",
			"`netavark_plugin_dirs` in containers.conf names other directories."},
		Mends: []string{"Type the command that the finding prints, or install again: see " +
			installed.Page("install.md") + "."},
	},
	{
		Code: FactUnknown, Title: "something could not be found out",
		Meaning: "`vxlanctl doctor` could not look at a part of the host, so a fault there would not be seen.",
		Causes: []string{"The command was typed without root's rights.", "A program such as `ip` or `tc` is not installed.",
			"The kernel or the agent did not answer."},
		Mends: []string{"Mend what the finding names, and type the command again."},
	},
	{
		Code: RecordLost, Title: "the driver has lost the record of a container",
		Meaning: "A container has its interface, and the file below /run/vxlan that describes it is gone. Nothing of it is " +
			"repaired any more.",
		Causes: []string{"Somebody removed files below /run/vxlan.",
			"Podman has lost the network: somebody removed its file.",
			"`network_config_dir` in containers.conf names another directory."},
		Mends: []string{"Type the command that the finding prints, or restart the container."},
	},
	{
		Code: SysctlFile, Title: "a file sets a kernel parameter that networks need otherwise",
		Meaning: "A file of the host, such as one in /etc/sysctl.d, switches forwarding or IPv6 off. It does so at each " +
			"boot, and when somebody types `sysctl --system`.",
		Causes: []string{"A guide to harden hosts, or another program, has put the file there."},
		Mends:  []string{"Type the commands that the finding prints: they make a comment of the line."},
	},
	{
		Code: SecurityDenied, Title: "SELinux or AppArmor has denied something",
		Meaning: "A security module has kept a program of the driver, or netavark, from a file, a socket or the kernel " +
			"within the last hour. Containers may not start, or the agent may do only a part of its work.",
		Causes: []string{"The files have no labels, as after an installation without the package.",
			"A profile or policy of this host is stricter than the distribution's."},
		Mends: []string{"Restore the labels, or allow in the policy what the evidence shows: the finding prints the " +
			"commands."},
	},
	{
		Code: LockHeld, Title: "a process has the driver's lock for long",
		Meaning: "Whoever changes the networks of a host has the lock /run/vxlan/lock meanwhile. A start or a stop of a " +
			"container waits for it for up to a minute, and then fails.",
		Causes: []string{"A program of the driver was stopped by a signal, or waits for a file system that does not answer.",
			"Somebody took the lock by `flock`, and did not give it back."},
		Mends: []string{"End the process that the finding names, or let it go on."},
	},
	{
		Code: NetworkEdited, Title: "Podman has a network otherwise than its containers run",
		Meaning: "The file of the network in Podman's directory was changed while containers of the network run. The next " +
			"container that starts changes the network for all of them, or fails.",
		Causes: []string{"Somebody edited the file, or copied one from another host."},
		Mends: []string{"Type the command that the finding prints: it puts back the file as the containers run with it.",
			"If the change is meant, type it as `vxlanctl network set NETWORK OPTION=VALUE`."},
	},
	{
		Code: NamespaceLost, Title: "the file of a container's network namespace is gone",
		Meaning: "Podman and the driver find a container's network namespace by a file below /run/netns, on which it is " +
			"mounted. Without it nothing in the container is examined or repaired, and `podman exec` and a stop report errors.",
		Causes: []string{"Somebody unmounted or removed the file, as by `ip netns delete` or `umount -a`.",
			"Another file system was mounted over /run/netns."},
		Mends: []string{"Type the command that the finding prints: it mounts the namespace again."},
	},
}
