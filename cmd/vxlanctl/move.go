package main

import (
	"errors"
	"fmt"
	"maps"

	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/podmannet"
)

// MoveNetwork changes by which control planes the hosts of a network find each other. One that moves to etcd
// is defined there first, and one that this host no longer has there is retired once no host has it.
func (h localHost) MoveNetwork(name string,
	change func(map[string]string) (map[string]string, error)) (ctl.ChangedNetwork, error) {
	changed, err := h.rewriteNetwork(name, optionChange{
		change: change, check: ctl.CheckMove, prepare: h.prepareMove, transfer: ctl.WithPlanes,
	})
	if err != nil {
		return changed, err
	}
	if _, err := h.Reload(); err != nil {
		return changed, fmt.Errorf("the options are changed, but this host does not follow them yet: %w", err)
	}
	if usesEtcd(changed.Before) && !usesEtcd(changed.After) {
		if _, err := h.RetireNetwork(changed.Name); err != nil {
			h.Warn(fmt.Sprintf("etcd still has a definition of the network, which keeps its VNI: %v", err))
		}
	}
	return changed, nil
}

// usesEtcd tells whether hosts of a network find each other by etcd, perhaps among others.
func usesEtcd(options map[string]string) bool {
	return options["discovery"] == string(network.DiscoveryEtcd) ||
		options["discovery_also"] == string(network.DiscoveryEtcd)
}

// prepareMove defines a network that moves to etcd, if this host's agent is configured for that.
func (h localHost) prepareMove(before, after map[string]string, config []byte) error {
	if err := network.CheckMove(config); err != nil {
		return err
	}
	if usesEtcd(before) || !usesEtcd(after) {
		return nil
	}
	c, err := h.AgentConfig()
	if err == nil && len(c.Etcd.Endpoints) == 0 {
		err = errors.New("this host's agent knows no etcd: give /etc/vxlan/vxland.toml a section [etcd] with endpoints, " +
			"and type `vxlanctl reload`")
	}
	if err != nil {
		return err
	}
	shared := maps.Clone(after) // each host moves at a time of its own
	delete(shared, "discovery_also")
	delete(shared, "max_hosts") // it is of the list, by which the subnets were divided
	if config, err = podmannet.WithOptions(config, shared); err != nil {
		return err
	}
	return h.DefineMoved(config)
}
