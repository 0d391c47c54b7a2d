package plugin

import (
	"slices"
	"strings"

	"vxlan-driver/internal/network"
	"vxlan-driver/internal/regfile"
)

// checkEtcd refuses a network whose hosts talk by etcd, if this host's agent has none. Whether the
// servers answer is not asked: a network can be created while they are away.
func (p *Plugin) checkEtcd(n network.Network, problems *network.Problems) {
	if slices.Contains(n.Planes(), network.DiscoveryEtcd) && !p.configuresEtcd() {
		problems.Add("option discovery", string(network.DiscoveryEtcd),
			"needs a section [etcd] with endpoints in /etc/vxlan/vxland.toml on this host; see docs/user/etcd.md")
	}
}

// configuresEtcd tells whether the agent's configuration has the section. To read TOML would make the
// plugin larger by a tenth. What is wrong with the section, the agent says.
func (p *Plugin) configuresEtcd() bool {
	for _, path := range p.ConfigFiles {
		text, err := regfile.ReadText(path)
		if err != nil {
			continue // it need not exist
		}
		if strings.Contains("\n"+string(text), "\n[etcd]") {
			return true
		}
	}
	return false
}
