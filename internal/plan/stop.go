package plan

import (
	"iter"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Leaving is a container that goes from a network.
type Leaving struct {
	Network network.Identity
	network.Endpoint
	// PortSecurity says that the port may be guarded.
	PortSecurity bool
	// Elsewhere is the container on other networks.
	Elsewhere []Elsewhere
	// OtherPorts iterates over the names of the ports of the network's other containers.
	OtherPorts iter.Seq2[string, error]
	// OthersPublish says that another container of the network publishes ports.
	OthersPublish bool
	// Left reads all networks of the host with all endpoints but the one that leaves, as far as
	// they can be read. See AllElements.
	Left func() ([]HostNetwork, error)
	// Unknown says that nothing is known of the endpoint, as its record is broken.
	Unknown bool
}

// Elsewhere is a container's endpoint on another network.
type Elsewhere struct {
	Network  network.Network
	Endpoint network.Endpoint
}

// Stop is the plan for a container that is removed. The network's devices go with the last one. The
// plan does not depend on the network's options, which may have changed.
func Stop(l Leaving) Plan {
	d := disconnection(l)
	d.Devices = deviceNames(l.Network)
	d.OtherPorts = l.OtherPorts
	if len(l.Ports) > 0 && !l.OthersPublish {
		d.Sysctls = []kernel.Sysctl{routeLocalnet(l.Network, false)}
	}
	return Plan{Disconnect: d}
}

// Replace is the plan for a container that is set up again with other addresses or ports. It
// removes those that an interrupted setup gave it.
func Replace(l Leaving) Plan {
	d := disconnection(l)
	d.PortStays = true
	return Plan{Disconnect: d}
}

// StopUnrecorded is the plan for a container that is removed while the store cannot be opened.
// Nobody else uses its veth. Others may use the network's devices: the next stop removes those.
func StopUnrecorded(id network.Identity, e network.Endpoint) Plan {
	return Plan{Disconnect: &Disconnect{Port: PortName(id, e)}}
}

func disconnection(l Leaving) *Disconnect {
	n := network.Network{Identity: l.Network, PortSecurity: l.PortSecurity}
	return &Disconnect{
		FastPath:  FastPathMember{l.Network.Device.Name, l.MAC},
		Published: PublishedElements(n, l.Endpoint),
		Republish: republished(l),
		Flows:     ownFlows(l.Endpoint),
		Guards:    guardElements(n, l.Endpoint),
		Port:      PortName(l.Network, l.Endpoint),
		Restore:   func() ([]kernel.Element, error) { return elementsOf(l.Left()) },
		Reset:     l.Unknown,
	}
}

// republished returns the elements by which a container's ports are reached on its other networks,
// if they led by the one that it leaves.
func republished(l Leaving) []kernel.Element {
	if len(l.Ports) == 0 {
		return nil
	}
	var all []kernel.Element
	for _, other := range l.Elsewhere {
		all = append(all, PublishedElements(other.Network, other.Endpoint)...)
	}
	return all
}

// Forget is the plan for what a network that is gone has left besides its devices. gone is the
// network without its endpoints, or nil where its configuration cannot be read. What another
// network needs too stays, such as a host that is a member of both. unread says that networks are
// missing among the others: then everything stays that is not known to be this network's alone.
func Forget(id network.Identity, gone *PlacedNetwork, others []HostNetwork, unread error) Plan {
	shared := HostElements(others)
	f := &Firewall{Mode: FirewallReset, All: func() ([]kernel.Element, error) { return shared, unread }}
	if gone != nil {
		own := networkElements(*gone)
		if unread != nil {
			own = unsharedElements(*gone)
		}
		f.Mode, f.Remove = FirewallRemove, elementsExcept(own, shared)
	}
	return Plan{RemoveFastPath: id.Device.Name, Firewall: f}
}

// unsharedElements returns the elements of a network that no other network has.
func unsharedElements(p PlacedNetwork) []kernel.Element {
	p.Foreign = nil
	shared := []kernel.Set{
		kernel.Underlays, kernel.VXLANPorts, kernel.VTEPs4, kernel.VTEPs6, kernel.Agents4, kernel.Agents6,
	}
	var own []kernel.Element
	for _, e := range networkElements(p) {
		if !slices.Contains(shared, e.Set) {
			own = append(own, e)
		}
	}
	return own
}

// ForgetLast is Forget for the host's last network.
func ForgetLast(id network.Identity) Plan {
	return Plan{RemoveFastPath: id.Device.Name, Firewall: &Firewall{Mode: FirewallDelete}}
}
