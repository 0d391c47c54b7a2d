package doctor

import (
	"fmt"
	"strings"
)

// Upgraded is a program that may be upgraded.
type Upgraded string

// The programs whose versions change something for networks.
const (
	UpgradedPodman   Upgraded = "podman"
	UpgradedNetavark Upgraded = "netavark"
)

// UpgradeHost has the facts of a host by which an upgrade concerns it. What is empty is not known, or
// is not there.
type UpgradeHost struct {
	Podman, Netavark string // versions
	// Backend, Database and Cgroups are what `podman info` says of the network, the database and the
	// version of cgroups.
	Backend, Database, Cgroups string
	// FirewallDriver is that of containers.conf, and where it is set.
	FirewallDriver, FirewallFile string
	NoNFT                        bool     // the program nft is not installed
	Open                         []string // VXLAN networks without the option isolate
	Several                      []string // containers that are on several networks
	Fixed                        []string // containers that were started with an address
}

// UpgradeChange is something that a version changes.
type UpgradeChange struct {
	Since string `json:"since"` // program and version
	Text  string `json:"text"`
	// Concerns tells whether this host notices it.
	Concerns bool     `json:"concerns"`
	Evidence []string `json:"evidence,omitempty"`
	Mend     []string `json:"mend,omitempty"`
}

// upgradeFact is what a version changes for networks. Version 6 of Podman needs version 2 of netavark.
type upgradeFact struct {
	podman, netavark string // versions; "": it is not of that program
	text             string
	check            func(UpgradeHost) (evidence, mend []string) // no evidence: the host does not notice it
}

// upgradeFacts are from the release notes of Podman and netavark, and from tests in the lab.
var upgradeFacts = []upgradeFact{
	{
		"5.0", "",
		"netavark is the only network back end: networks of CNI are not taken over",
		usesCNI,
	},
	{
		"6.0", "2.0",
		"Podman 6 and netavark 2 need each other, and so do aardvark-dns 2 and buildah 1.44",
		hasOldNetavark,
	},
	{
		"6.0", "",
		"hosts with cgroups v1 are no longer supported",
		hasCgroupV1,
	},
	{
		"6.0", "2.0",
		"netavark writes rules of nftables only: the firewall driver iptables is gone",
		usesIPTables,
	},
	{
		"6.0", "2.0",
		"networks are strictly isolated from each other unless they have --opt isolate=false; this is decided when a " +
			"container starts",
		hasOpenNetworks,
	},
	{
		"6.0", "",
		"Podman's database BoltDB is no longer read: containers in it are moved to SQLite at a start of Podman, or are gone",
		hasBoltDB,
	},
	{
		"6.0", "",
		"a container's networks are set up in the order in which they were typed: eth0, and with it the default route, may " +
			"be another one",
		hasSeveralNetworks,
	},
	{
		"6.1", "",
		"`podman network reload` refuses a container that was started with --ip: it says that the address is in use",
		hasFixedAddresses,
	},
}

// UpgradeChanges says what changes for networks from the version that a host has to another one. Of
// an older version it says what is no longer so.
func UpgradeChanges(h UpgradeHost, program Upgraded, to string) (changes []UpgradeChange) {
	from := h.version(program)
	to = completed(to)
	isBack := Older(to, from)
	for _, f := range upgradeFacts {
		since := f.podman
		if program == UpgradedNetavark {
			since = f.netavark
		}
		older, newer := from, to
		if isBack {
			older, newer = to, from
		}
		if since == "" || !Older(older, since) || Older(newer, since) {
			continue
		}
		c := UpgradeChange{Since: string(program) + " " + since, Text: f.text}
		if !isBack {
			c.Evidence, c.Mend = f.check(h)
			c.Concerns = len(c.Evidence) > 0
		}
		changes = append(changes, c)
	}
	return changes
}

func (h UpgradeHost) version(program Upgraded) string {
	if program == UpgradedNetavark {
		return h.Netavark
	}
	return h.Podman
}

// completed makes of 6 the last version that begins so.
func completed(version string) string {
	if len(versionNumbers(version)) == 1 {
		return version + ".999"
	}
	return version
}

func usesCNI(h UpgradeHost) (evidence, mend []string) {
	if h.Backend != "cni" {
		return nil, nil
	}
	const mendCNI = `set network_backend = "netavark" in /etc/containers/containers.conf, and create the networks again`
	return []string{"podman info --format '{{.Host.NetworkBackend}}' prints cni"}, []string{mendCNI}
}

func hasOldNetavark(h UpgradeHost) (evidence, mend []string) {
	if h.Netavark == "" || !Older(h.Netavark, "2.0") {
		return nil, nil
	}
	return []string{"netavark has the version " + h.Netavark},
		[]string{"upgrade the packages podman, netavark and aardvark-dns together"}
}

func hasCgroupV1(h UpgradeHost) (evidence, mend []string) {
	if h.Cgroups != "v1" {
		return nil, nil
	}
	return []string{"podman info --format '{{.Host.CgroupsVersion}}' prints v1"},
		[]string{"boot with the kernel's parameter systemd.unified_cgroup_hierarchy=1"}
}

func usesIPTables(h UpgradeHost) (evidence, mend []string) {
	if h.FirewallDriver == "iptables" {
		evidence = append(evidence, h.FirewallFile+" has the firewall driver iptables")
		mend = append(mend, `sed -i '/^ *firewall_driver/s/iptables/nftables/' `+h.FirewallFile)
	}
	if h.NoNFT {
		evidence = append(evidence, "the program nft is not installed")
		mend = append(mend, "install the package nftables")
	}
	return evidence, mend
}

func hasOpenNetworks(h UpgradeHost) (evidence, mend []string) {
	if len(h.Open) == 0 {
		return nil, nil
	}
	const command = "vxlanctl network set %s isolate=false   # if its containers must reach those of other networks"
	for _, name := range h.Open {
		mend = append(mend, fmt.Sprintf(command, name))
	}
	return []string{"without the option isolate: " + strings.Join(h.Open, ", ")}, mend
}

func hasBoltDB(h UpgradeHost) (evidence, mend []string) {
	if h.Database != "boltdb" {
		return nil, nil
	}
	return []string{"podman info --format '{{.Host.DatabaseBackend}}' prints boltdb"},
		[]string{"before the upgrade, with Podman 5.8: podman system migrate --migrate-db"}
}

func hasSeveralNetworks(h UpgradeHost) (evidence, mend []string) {
	if len(h.Several) == 0 {
		return nil, nil
	}
	return []string{"on several networks: " + strings.Join(h.Several, ", ")},
		[]string{"name the interfaces when you create the containers: --network NETWORK:interface_name=eth0"}
}

func hasFixedAddresses(h UpgradeHost) (evidence, mend []string) {
	if len(h.Fixed) == 0 {
		return nil, nil
	}
	return []string{"created with an address: " + strings.Join(h.Fixed, ", ")},
		[]string{"where you would type podman network reload, type vxlanctl reload"}
}
