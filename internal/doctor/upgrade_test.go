package doctor

import (
	"slices"
	"testing"
)

func TestUpgradeChanges(t *testing.T) {
	for _, tt := range []struct {
		program  Upgraded
		from, to string
		count    int
	}{
		{UpgradedPodman, "5.4.2", "6", 7}, {UpgradedPodman, "5.4.2", "6.0.1", 6}, {UpgradedPodman, "6.0", "6.1", 1},
		{UpgradedPodman, "5.4", "5.8", 0}, {UpgradedPodman, "4.9.3", "6", 8}, {UpgradedPodman, "6.2", "6", 0},
		{UpgradedPodman, "6.1.0", "5.8", 7}, {UpgradedPodman, "6.1.0", "6.0", 1}, {UpgradedPodman, "5.4.2", "5.4.2", 0},
		{UpgradedNetavark, "1.14.1", "2", 3}, {UpgradedNetavark, "2.0.0", "2.1", 0}, {UpgradedNetavark, "1.9", "1.14", 0},
	} {
		got := UpgradeChanges(UpgradeHost{Podman: tt.from, Netavark: tt.from}, tt.program, tt.to)
		if len(got) != tt.count {
			t.Errorf("%s from %s to %s: %d changes: %+v", tt.program, tt.from, tt.to, len(got), got)
		}
	}
}

// A host with all that an upgrade can concern, and one with nothing of it.
func TestUpgradeConcerns(t *testing.T) {
	old := UpgradeHost{
		Podman: "4.9.3", Netavark: "1.10.0", Backend: "cni", Database: "boltdb", Cgroups: "v1", FirewallDriver: "iptables", FirewallFile: "/etc/containers/containers.conf",
		NoNFT: true, Open: []string{"blue"}, Several: []string{"c1"}, Fixed: []string{"c2"},
	}
	for _, c := range UpgradeChanges(old, UpgradedPodman, "6") {
		if !c.Concerns || len(c.Evidence) == 0 || len(c.Mend) != len(c.Evidence) {
			t.Errorf("%+v", c)
		}
	}
	changes := UpgradeChanges(old, UpgradedPodman, "6")
	at := slices.IndexFunc(changes, func(c UpgradeChange) bool { return len(c.Mend) == 2 })
	if at < 0 || changes[at].Mend[0] != "sed -i '/^ *firewall_driver/s/iptables/nftables/' /etc/containers/containers.conf" {
		t.Errorf("%+v", changes)
	}
	for _, new := range []UpgradeHost{{Podman: "4.9.3"}, {Podman: "4.9.3", Netavark: "2.0.0", Backend: "netavark", Database: "sqlite", Cgroups: "v2", FirewallDriver: "nftables"}} {
		for _, c := range UpgradeChanges(new, UpgradedPodman, "6") {
			if c.Concerns {
				t.Errorf("%+v", c)
			}
		}
	}
	for _, c := range UpgradeChanges(UpgradeHost{Podman: "6.1", Cgroups: "v1"}, UpgradedPodman, "5.4") {
		if c.Concerns {
			t.Errorf("going back: %+v", c)
		}
	}
}
