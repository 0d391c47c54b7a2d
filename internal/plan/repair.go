package plan

import (
	"errors"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// errNetworkMissing keeps a firewall that is not whole: it is better than one that lacks a network.
var errNetworkMissing = errors.New("the firewall is not as it should be, and cannot be set anew while a network cannot be read")

// RepairFirewall is the plan for the firewall of all networks of the host. complete says that
// none is missing because it cannot be read.
func RepairFirewall(networks []HostNetwork, complete bool) Plan {
	f := &Firewall{All: func() ([]kernel.Element, error) {
		if !complete {
			return nil, errNetworkMissing
		}
		return HostElements(networks), nil
	}}
	var endpoints []ownedElement
	for _, n := range networks {
		f.Networks = append(f.Networks, networkWithFingerprint(n.PlacedNetwork, false))
		endpoints = appendEndpoints(endpoints, n)
	}
	f.Endpoints = resolveConflicts(endpoints)
	return Plan{Firewall: f}
}

// ResetFirewall is the plan for a firewall that is set anew with all networks that can be read. Where the host
// has none at all, the tables go.
func ResetFirewall(networks []HostNetwork, complete bool) Plan {
	if len(networks) == 0 && complete {
		return Plan{Firewall: &Firewall{Mode: FirewallDelete}}
	}
	return Plan{Firewall: &Firewall{Mode: FirewallReset, All: func() ([]kernel.Element, error) { return HostElements(networks), nil }}}
}

// RepairDevices is the plan for a network's bridge and VXLAN device.
func RepairDevices(n HostNetwork) Plan {
	publishes := false
	for _, e := range n.Endpoints {
		publishes = publishes || publishesPorts(n.Network, e.Endpoint)
	}
	return Plan{Network: &NetworkState{Devices: networkDevices(n.PlacedNetwork, publishes)}}
}

// RepairNetwork is RepairDevices, and the ports of the network's containers. Looking at the ports takes
// longer the more there are.
func RepairNetwork(n HostNetwork) Plan {
	p := RepairDevices(n)
	p.Network.Ports = make([]kernel.Link, 0, len(n.Endpoints))
	for _, e := range n.Endpoints {
		p.Network.Ports = append(p.Network.Ports, veth(n.PlacedNetwork, e.Endpoint).Port)
	}
	return p
}

// ForwardTo is the plan for a network's forwarding entries. partial says that some hosts may not have
// been heard of yet. Entries that are there stay then.
func ForwardTo(n HostNetwork, remotes []Remote, partial bool) Plan {
	f := Forward(n.Network, n.VTEP, Known{
		// A user who wants MACs to be learned wants to see what static entries keep from the wire.
		StaticFDB: n.VTEP.StaticFDB && !n.Learning.Value,
		Partial:   partial, Remotes: remotes, Local: endpointsOf(n),
	})
	return Plan{Network: &NetworkState{Forwarding: &f}}
}

func endpointsOf(n HostNetwork) []network.Endpoint {
	all := make([]network.Endpoint, 0, len(n.Endpoints))
	for _, e := range n.Endpoints {
		all = append(all, e.Endpoint)
	}
	return all
}
