package plugin

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"vxlan-driver/internal/network"
	"vxlan-driver/internal/regfile"
)

// maxProposals bounds how often other hosts may be quicker to take a VNI. Each time one of them has got one.
const maxProposals = 100

// defineOnce makes a network whole that hosts define once for all of them, if config is of such a one. The
// first host's check comes before others see the network.
func (p *Plugin) defineOnce(config []byte, check func([]byte) error) ([]byte, error) {
	if !network.IsByEtcd(config) || !p.configuresEtcd() {
		return config, nil
	}
	var proposed []byte
	for range maxProposals {
		defined, err := p.Agent.Define(config, proposed)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(defined, proposed) {
			return defined, nil
		}
		if err := check(defined); err != nil {
			return nil, err
		}
		proposed = defined
	}
	return nil, errors.New("define network: other hosts were quicker to define networks, time and again; try again")
}

// DefineMoved defines a network that moves to etcd once for all hosts. If it is defined there, it must be so.
func (p *Plugin) DefineMoved(config []byte) error {
	_, err := p.defineOnce(config, func([]byte) error { return nil }) // its host has it already
	return err
}

// checkEtcd refuses a network whose hosts talk by etcd, if this host's agent has none.
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
