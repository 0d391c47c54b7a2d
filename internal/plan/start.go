package plan

import (
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Beside is what else a start may meet on this host.
type Beside struct {
	// First says that no other endpoint of the network is recorded.
	First bool
	// Networks reads all networks of the host with their endpoints, that of the start included, as
	// far as they can be read. See AllElements.
	Networks func() ([]HostNetwork, error)
	// NamedPorts are the recorded endpoints whose interface has a name of the user's choice.
	NamedPorts []NamedPort
	// Endpoint reads another endpoint of the network, and tells whether it is recorded. Only those
	// whose port somebody took off the bridge are read.
	Endpoint func(containerID string) (e network.Endpoint, recorded bool, err error)
}

// NamedPort is an endpoint of a network.
type NamedPort struct {
	Network  network.Identity
	Endpoint network.Endpoint
}

// StartShared is the plan for what a new container shares with others: the firewall and the
// network's devices.
func StartShared(n PlacedNetwork, e network.Endpoint, beside Beside) Plan {
	d := networkDevices(n, publishesPorts(n.Network, e))
	// An agent keeps the flood entries up to date.
	d.SkipFlood = n.hasAgent()
	return Plan{
		Firewall: &Firewall{
			Networks:  []NetworkElements{networkWithFingerprint(n, beside.First)},
			Endpoints: endpointElements(n.Network, e),
			All:       func() ([]kernel.Element, error) { return elementsOf(beside.Networks()) },
		},
		StaleFlows: StaleFlows(PublishedElements(n.Network, e)),
		Network:    &NetworkState{Devices: d},
	}
}

// Start is the plan for a new container: what it shares with others, and its own. On a network with
// names the plan does not announce its addresses, since an agent may trigger that.
func Start(n PlacedNetwork, e network.Endpoint, beside Beside) Plan {
	p := StartShared(n, e, beside)
	p.Connect = &Connect{
		Probe:         Probe(n, e, doubtfulAddrs(n, e)),
		Evict:         nameLosers(e, beside.NamedPorts),
		FromElsewhere: n.hasAgent(),
		Veth:          veth(n, e),
		Announce:      !n.HasNames(),
	}
	if !n.hasAgent() {
		p.Connect.UnattachedPort = func(alias string) (kernel.Link, bool, error) { return unattachedPort(n, alias, beside) }
	}
	return p
}

// Announcement is the plan for a container that announces its addresses.
func Announcement(n PlacedNetwork, e network.Endpoint) Plan {
	return Plan{Announce: &Announce{Veth: veth(n, e)}}
}

// ResizeInterface is the plan for a container's interface whose network has another MTU than the
// one before.
func ResizeInterface(n PlacedNetwork, e network.Endpoint, before int) Plan {
	return Plan{Resize: &Resize{Interface: veth(n, e).Container, Before: before}}
}

// hasAgent tells whether an agent keeps the network's forwarding up to date.
func (n PlacedNetwork) hasAgent() bool { return n.VTEP.AgentPort != 0 }

func networkWithFingerprint(n PlacedNetwork, isNew bool) NetworkElements {
	return NetworkElements{
		Fingerprint: networkFingerprint(n),
		Elements:    func() []kernel.Element { return networkElements(n) },
		New:         isNew,
	}
}

func elementsOf(networks []HostNetwork, err error) ([]kernel.Element, error) {
	return HostElements(networks), err
}

// Probe asks for addresses on behalf of an endpoint.
func Probe(n PlacedNetwork, e network.Endpoint, addrs []netip.Addr) AddressProbe {
	return AddressProbe{
		Network: n.Name, Bridge: n.Bridge.Name, Device: n.Device.Name, Port: n.Port(e), Addrs: addrs,
		Sender: kernel.ProbeSender{MAC: network.BridgeMAC(n.Tunnel.VNI, n.VTEP.Local), Addrs: n.HostAddrs()},
	}
}

// doubtfulAddrs returns the addresses of an endpoint that another host may have. Probing them takes
// some 80 ms. So addresses of this host's own part are probed only if the user wants it
// (address_check). The agent has probed those that it picked.
func doubtfulAddrs(n PlacedNetwork, e network.Endpoint) []netip.Addr {
	if n.AgentPicks() {
		return nil
	}
	var doubtful []netip.Addr
	for _, p := range e.Addrs {
		if s, ok := n.SubnetOf(p.Addr()); ok && (n.AddressCheck || !s.Lease.Contains(p.Addr())) {
			doubtful = append(doubtful, p.Addr())
		}
	}
	return doubtful
}

// nameLosers returns the containers whose fast path ends because an endpoint takes over their
// interface's name. They were lost without a teardown. The fast path knows a port by its name, so
// packets from the new port could enter the other container's network.
func nameLosers(e network.Endpoint, named []NamedPort) []FastPathMember {
	if e.HostInterface == "" {
		return nil
	}
	var losers []FastPathMember
	for _, p := range named {
		if p.Endpoint.HostInterface == e.HostInterface && p.Endpoint.ContainerID != e.ContainerID {
			losers = append(losers, FastPathMember{p.Network.Device.Name, p.Endpoint.MAC})
		}
	}
	return losers
}

// unattachedPort returns the port that a link without a bridge should be. A link whose container is
// not recorded is left alone.
func unattachedPort(n PlacedNetwork, alias string, beside Beside) (kernel.Link, bool, error) {
	id := n.ContainerOf(alias)
	if id == "" {
		return kernel.Link{}, false, nil
	}
	e, recorded, err := beside.Endpoint(id)
	if err != nil || !recorded {
		return kernel.Link{}, false, err
	}
	return veth(n, e).Port, true, nil
}
