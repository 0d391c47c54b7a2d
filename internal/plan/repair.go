package plan

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// errUnread says that a part of what the host has cannot be read.
var errUnread = errors.New("a network or an endpoint cannot be read")

// RepairFirewall is the plan for the firewall of all networks of the host. complete says that
// nothing is missing because it cannot be read.
func RepairFirewall(networks []HostNetwork, complete bool) Plan {
	f := &Firewall{All: knownElements(networks, complete)}
	var endpoints []ownedElement
	for _, n := range networks {
		elements := networkWithFingerprint(n.PlacedNetwork, false)
		former := []PlacedNetwork{n.withoutMembers()}
		if n.Before != nil {
			former = append(former, *n.Before, n.Before.withoutMembers())
		}
		elements.ChangeFrom = func(comment string) ElementsChange { return changeFrom(comment, former, n.PlacedNetwork) }
		f.Networks = append(f.Networks, elements)
		endpoints = appendEndpoints(endpoints, n)
	}
	f.Endpoints = resolveConflicts(endpoints)
	return Plan{Firewall: f}
}

// SameElements tells whether two plans of RepairFirewall want the same elements. A network's fingerprint
// stands for all that it wants.
func (f *Firewall) SameElements(other *Firewall) bool {
	return slices.Equal(f.Endpoints, other.Endpoints) &&
		slices.EqualFunc(f.Networks, other.Networks,
			func(a, b NetworkElements) bool { return a.Fingerprint == b.Fingerprint })
}

// withoutMembers is the network before its members are set.
func (p PlacedNetwork) withoutMembers() PlacedNetwork {
	p.membersLater = true
	return p
}

// WithoutMembers returns the elements of networks, as RepairFirewall wants them, without the members
// of the networks. Containers are kept from all that they must not reach, and no host is let in yet.
func WithoutMembers(networks []HostNetwork, complete bool) AllElements {
	some := slices.Clone(networks)
	for i := range some {
		some[i].PlacedNetwork = some[i].withoutMembers()
	}
	return knownElements(some, complete)
}

// knownElements returns the elements of networks, which may not be all that the host has.
func knownElements(networks []HostNetwork, complete bool) AllElements {
	return func() ([]kernel.Element, error) {
		if !complete {
			return HostElements(networks), errUnread
		}
		return HostElements(networks), nil
	}
}

// ResetFirewall is the plan for a firewall that is set anew with all networks that can be read, and
// keeps what may be of those that cannot. Where the host has none at all, the tables go.
func ResetFirewall(networks []HostNetwork, complete bool) Plan {
	if len(networks) == 0 && complete {
		return Plan{Firewall: &Firewall{Mode: FirewallDelete}}
	}
	return Plan{Firewall: &Firewall{Mode: FirewallReset, All: knownElements(networks, complete)}}
}

// RepairDevices is the plan for a network's bridge and VXLAN device.
func RepairDevices(n HostNetwork) Plan {
	publishes := false
	for _, e := range n.Endpoints {
		publishes = publishes || publishesPorts(n.Network, e.Endpoint)
	}
	return Plan{Network: &NetworkState{Devices: networkDevices(n.PlacedNetwork, publishes)}}
}

// RepairNetwork is RepairDevices, and the ports of the network's containers. Looking at the ports
// takes longer the more there are.
func RepairNetwork(n HostNetwork) Plan {
	p := RepairDevices(n)
	p.Network.Ports = make([]kernel.Link, 0, len(n.Endpoints))
	for _, e := range n.Endpoints {
		p.Network.Ports = append(p.Network.Ports, veth(n.PlacedNetwork, e.Endpoint).Port)
	}
	return p
}

// ForwardTo is the plan for a network's forwarding entries, by what is known of other hosts.
func ForwardTo(n HostNetwork, k Known) Plan {
	// A user who wants MACs to be learned wants to see what static entries keep from the wire.
	k.StaticFDB = n.VTEP.StaticFDB && !n.Learning.Value
	k.Local = endpointsOf(n)
	f := Forward(n.Network, n.VTEP, k)
	return Plan{Network: &NetworkState{Forwarding: &f}}
}

func endpointsOf(n HostNetwork) []network.Endpoint {
	all := make([]network.Endpoint, 0, len(n.Endpoints))
	for _, e := range n.Endpoints {
		all = append(all, e.Endpoint)
	}
	return all
}
