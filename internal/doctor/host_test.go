package doctor

import (
	"net/netip"
	"vxlan-driver/internal/kernel"
)

// hostCases are about this host's kernel, programs and limits.
var hostCases = []checkCase{
	{"gap", func(f *Facts) { f.Gaps = []Gap{{What: "routes", Why: "ip: not found\nx"}} },
		[]string{"VX0105 unknown routes could not be found out: ip: not found"}, nil},
	{"no ip", func(f *Facts) {
		lack := Gap{What: "routes", Why: "ip: not found", Lacks: "ip", Install: "apt-get install --reinstall iproute2"}
		f.Gaps = []Gap{lack, lack}
	}, []string{"VX0105 unknown the program ip cannot be run, so a part of this host could not be looked at"},
		[]string{"apt-get install --reinstall iproute2"}},
	{"no namespace", func(f *Facts) {
		f.Networks[0].Unseen = []UnseenContainer{{Name: "ca", Path: "/run/netns/n"}}
		f.Networks[0].Silent = []SilentContainer{{Name: "ca", Addr: netip.MustParseAddr("10.0.0.2")}}
	}, []string{"VX0111 failure the network namespace of container ca is not found at /run/netns/n"},
		[]string{"mkdir -p /run/netns; touch /run/netns/n; " +
			"mount --bind /proc/$(podman inspect -f '{{.State.Pid}}' ca)/ns/net /run/netns/n"}},
	{"no VXLAN", func(f *Facts) { f.Kernel.NoVXLAN = true }, []string{"VX0101 failure the kernel has no VXLAN devices"},
		[]string{"modprobe vxlan"}},
	{"kernel upgraded", func(f *Facts) { f.Kernel.NoVXLAN, f.Kernel.NoModules = true, true },
		[]string{"VX0101 failure the kernel has no VXLAN devices"}, []string{"reboot   # into the kernel that is installed"}},
	{"parameter", func(f *Facts) { f.Kernel.Parameters["net/ipv4/conf/eth0/forwarding"] = "0" },
		[]string{"VX0102 warning net.ipv4.conf.eth0.forwarding is 0: packets that arrive by it are not forwarded to " +
			"containers"}, []string{"sysctl -w net/ipv4/conf/eth0/forwarding=1"}},
	{"old Podman", func(f *Facts) { f.Podman.Version = "4.3.1" },
		[]string{"VX0103 failure Podman has the version 4.3.1; 4.5 or newer is needed"}, nil},
	{"no plugin", func(f *Facts) { f.Podman.PluginDir = "" },
		[]string{"VX0104 failure netavark finds no plugin vxlan, so no container of a VXLAN network starts"}, nil},
	{"no netavark", func(f *Facts) { f.Podman.NoNetavark, f.Podman.Reinstall = "podman info", "dnf reinstall netavark" },
		[]string{"VX0104 failure Podman finds no netavark, so no container with a network starts"},
		[]string{"dnf reinstall netavark"}},
	{"plugin not executable", func(f *Facts) {
		f.Podman.PluginDir, f.Podman.Obstacle = "",
			Obstacle{"/usr/libexec/netavark/vxlan", "it has the mode -rw-r--r--", "chmod 755 it"}
	}, []string{"VX0104 failure netavark cannot execute the plugin /usr/libexec/netavark/vxlan"},
		[]string{"chmod 755 it"}},
	{"agent not executable", func(f *Facts) {
		f.Agent = Agent{Needed: 1,
			Obstacle: Obstacle{"/usr/libexec/vxlan/vxland", "it has the mode -rw-r--r--", "chmod 755 it"}}
	}, []string{"VX0104 failure the agent /usr/libexec/vxlan/vxland cannot be executed, and 1 container needs it"},
		[]string{"chmod 755 it", reload}},
	{"parameter of a network", func(f *Facts) {
		f.Changes = []Change{change(kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: "net/ipv4/ip_forward", Value: "1"}}})}
	},
		[]string{"VX0102 failure the kernel parameter net.ipv4.ip_forward does not have the value 1"}, nil},
	{"file that switches forwarding off", func(f *Facts) {
		f.SysctlFiles = []SysctlSetting{{"net/ipv4/ip_forward", "1", "/etc/sysctl.d/10-a.conf"},
			{"net/ipv4/conf/all/forwarding", "0", "/etc/sysctl.d/99-hard.conf"}}
	}, []string{"VX0107 warning /etc/sysctl.d/99-hard.conf sets net.ipv4.ip_forward to 0 at boot, and networks need 1"},
		[]string{`sed -i 's|^ *-\?net[./]ipv4[./]conf[./]all[./]forwarding *=.*|# &|' /etc/sysctl.d/99-hard.conf`}},
	{"file that has switched forwarding off", func(f *Facts) {
		f.SysctlFiles = []SysctlSetting{{"net/ipv4/ip_forward", "0", "/etc/sysctl.d/99-hard.conf"}}
		f.Changes = []Change{change(kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: "net/ipv4/ip_forward", Value: "1"}}})}
	}, []string{"VX0107 failure /etc/sysctl.d/99-hard.conf sets net.ipv4.ip_forward to 0 at boot, and networks need 1"},
		[]string{`sed -i 's|^ *-\?net[./]ipv4[./]ip_forward *=.*|# &|' /etc/sysctl.d/99-hard.conf`,
			"sysctl -w net/ipv4/ip_forward=1", reload}},
	{"file that is overruled, and one for IPv6 that no network has", func(f *Facts) {
		f.SysctlFiles = []SysctlSetting{{"net/ipv4/ip_forward", "0", "a"}, {"net/ipv4/ip_forward", "1", "b"},
			{"net/ipv6/conf/all/disable_ipv6", "1", "b"}}
	}, nil, nil},
	{"denial", func(f *Facts) {
		f.Denials = []Denial{{By: "SELinux", Program: "vxland", Text: "avc", Mend: []string{"restorecon"}}}
	},
		[]string{"VX0108 warning SELinux has denied something to vxland"}, []string{"restorecon"}},
	{"lock", func(f *Facts) { f.LockHolder = Holder{[]int{77, 78}, "sleep", "/run/vxlan/lock"} },
		[]string{"VX0109 failure process 77 (sleep) has had the lock /run/vxlan/lock for long, and no container starts " +
			"or stops meanwhile"}, []string{"kill 77 78"}},
	{"lock of another PID namespace", func(f *Facts) { f.LockHolder = Holder{Path: "/run/vxlan/lock"} },
		[]string{"VX0109 failure a process has had the lock /run/vxlan/lock for long, and no container starts or stops " +
			"meanwhile"}, []string{"fuser -k /run/vxlan/lock"}},
	{"network's file edited", func(f *Facts) {
		f.Networks[0].ConfigFile, f.Networks[0].Kept, f.Networks[0].Edited = "/etc/n.json", "/run/n.json",
			[]string{`vni: "9", and not "7"`}
	}, []string{`VX0110 failure Podman has the network otherwise than its containers run: vni: "9", and not "7"`},
		[]string{"cp /run/n.json /etc/n.json"}},
	{"rules about names, and names are answered",
		func(f *Facts) { f.Rules = []Rule{{Text: "udp dport 53 drop", OfNames: true, Delete: "x"}} }, nil, nil},
	{"asks for no MACs", func(f *Facts) { f.Kernel.Parameters["net/ipv4/neigh/eth0/mcast_solicit"] = "0" },
		[]string{"VX0102 warning net.ipv4.neigh.eth0.mcast_solicit is 0: it asks nobody for MACs, and so " +
			"does not find others"},
		[]string{"sysctl -w net/ipv4/neigh/eth0/mcast_solicit=3"}},
	{"record lost", func(f *Facts) {
		f.Unrecorded = []string{"container c1 has the interface veth1 and no record; restart it"}
	},
		[]string{"VX0106 failure container c1 has the interface veth1 and no record; restart it"},
		[]string{"podman restart c1"}},
	{"damaged record", func(f *Facts) {
		f.Damaged = []Damage{{Path: "/run/x.json", Container: "c1", NetworkID: "b1", Why: "EOF"}}
	},
		[]string{"VX0106 failure the record /run/x.json is damaged"}, []string{"rm -r /run/x.json", "podman restart c1"}},
	{"damaged record of a network",
		func(f *Facts) { f.Damaged = []Damage{{Path: "/run/b1", NetworkID: "b1", Why: "EOF"}} },
		[]string{"VX0106 failure the record /run/b1 is damaged"},
		[]string{"rm -r /run/b1", "podman ps -q --filter network=b1 | xargs podman restart"}},
	{"Podman's file lost", func(f *Facts) {
		f.Networks[0].ConfigFile, f.Networks[0].Kept = "/etc/blue.json",
			"/run/network.json"
	},
		[]string{"VX0106 failure Podman does not know the network any more, and its containers do not start again"},
		[]string{"cp /run/network.json /etc/blue.json"}},
	{"agent not installed", func(f *Facts) { f.Agent = Agent{Needed: 1} },
		[]string{"VX0104 failure the agent vxland is not installed, and 1 container needs it"}, nil},
	{"directories", func(f *Facts) {
		f.Dirs = []Dir{{Path: "/run/vxlan", MountedAt: "/run", ReadOnly: true},
			{Path: "/var/lib/vxlan", MountedAt: "/", Free: 4096}, {Path: "/x", Free: 1 << 30}}
	}, []string{"VX0906 failure /run/vxlan is read-only", "VX0906 failure the file system of /var/lib/vxlan is full"},
		[]string{"mount -o remount,rw /run || mount -o remount,bind,rw /run"}},
	{"connections", func(f *Facts) { f.Limits[0].Used = 64000 },
		[]string{"VX0902 failure the table of connections is full: 64000 of 65536 entries"},
		[]string{"sysctl -w net.netfilter.nf_conntrack_max=262144"}},
	{"neighbours", func(f *Facts) {
		f.Limits[0] = Limit{Name: "neighbours of ipv4", Parameter: "net.ipv4.neigh.default.gc_thresh3", Used: 8, Max: 8,
			Drops: 3}
	},
		[]string{"VX0901 failure the table of neighbours of ipv4 is full: 8 of 8 entries"},
		[]string{"sysctl -w net.ipv4.neigh.default.gc_thresh3=1024"}},
}
