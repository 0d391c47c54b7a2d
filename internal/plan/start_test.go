package plan

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"vxlan-driver/internal/network"
)

// Which addresses of a container the other hosts are asked for.
func TestDoubtfulAddresses(t *testing.T) {
	lease := network.Range{First: netip.MustParseAddr("10.0.0.2"), Last: netip.MustParseAddr("10.0.0.62")}
	tests := []struct {
		name  string
		alter func(*network.Network)
		addrs []string
		want  string
	}{
		{"of the part that only this host hands out", func(*network.Network) {}, []string{"10.0.0.5/24"}, "[]"},
		{"of another host's part", func(*network.Network) {}, []string{"10.0.0.70/24"}, "[10.0.0.70]"},
		{"of a subnet that is not divided", func(*network.Network) {}, []string{"10.1.0.5/24"}, "[]"},
		{"one of two", func(*network.Network) {}, []string{"10.0.0.70/24", "fd00:10::5/64"}, "[10.0.0.70]"},
		{"the user wants it", func(n *network.Network) { n.AddressCheck = true }, []string{"10.0.0.5/24"}, "[10.0.0.5]"},
		{"the agent has asked", func(n *network.Network) { n.Discovery = network.DiscoveryGossip }, []string{"10.0.0.70/24"},
			"[]"},
		{"in no subnet", func(*network.Network) {}, []string{"192.0.2.5/24"}, "[]"},
		{"none", func(*network.Network) {}, nil, "[]"},
	}
	for _, tt := range tests {
		n := blue()
		n.Subnets[0].Lease = lease
		tt.alter(&n)
		if got := fmt.Sprint(doubtfulAddrs(PlacedNetwork{Network: n, VTEP: vtep}, endpointWith(tt.addrs...))); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A name of the user's choice is taken from the containers that had it before, on whatever network.
func TestInterfaceNameReclaimedFromDeadContainer(t *testing.T) {
	named := func(n network.Network, containerID, name string, last byte) NamedPort {
		return NamedPort{n.Identity, network.Endpoint{ContainerID: containerID, HostInterface: name, MAC: mac(last)}}
	}
	recorded := []NamedPort{named(blue(), "c1", "web0", 1), named(green(), "c2", "web0", 2), named(blue(), "c3", "web1", 3)}
	for _, tt := range []struct{ containerID, name, want string }{
		{"c9", "web0", "[{vxlan-blue 02:00:00:00:00:01} {vxlan-green 02:00:00:00:00:02}]"},
		{"c1", "web0", "[{vxlan-green 02:00:00:00:00:02}]"}, // itself is recorded already
		{"c9", "web2", "[]"},
		{"c9", "", "[]"},
	} {
		if got := fmt.Sprint(nameLosers(network.Endpoint{ContainerID: tt.containerID, HostInterface: tt.name}, recorded)); got != tt.want {
			t.Errorf("%s as %q: got %s, want %s", tt.containerID, tt.name, got, tt.want)
		}
	}
}

// What an agent sees to, a start does not.
func TestStartLeavesToTheAgentWhatIsIts(t *testing.T) {
	for _, agentPort := range []uint16{0, 7947} {
		v := vtep
		v.AgentPort = agentPort
		p := Start(PlacedNetwork{Network: blue(), VTEP: v}, endpointWith("10.0.0.2/24"), Beside{})
		agent := agentPort != 0
		if p.Network.Devices.SkipFlood != agent || p.Connect.FromElsewhere != agent || (p.Connect.UnattachedPort == nil) != agent {
			t.Errorf("agent %t: %+v, %+v", agent, p.Network.Devices, p.Connect)
		}
	}
}

// Only links that are ports of the network's recorded containers are put back on the bridge.
func TestUnattachedPorts(t *testing.T) {
	broken := errors.New("broken record")
	beside := Beside{Endpoint: func(containerID string) (network.Endpoint, bool, error) {
		switch containerID {
		case "c2":
			e := endpointWith("10.0.0.3/24")
			e.ContainerID = "c2"
			return e, true, nil
		case "c3":
			return network.Endpoint{}, false, broken
		}
		return network.Endpoint{}, false, nil
	}}
	p := Start(PlacedNetwork{Network: blue(), VTEP: vtep}, endpointWith("10.0.0.2/24"), beside)
	alias := func(n network.Network, containerID string) string {
		return n.EndpointAlias(network.Endpoint{ContainerID: containerID})
	}
	for _, tt := range []struct {
		name, alias string
		known       bool
		err         error
	}{
		{"a container of the network", alias(blue(), "c2"), true, nil},
		{"one of another network", alias(green(), "c2"), false, nil},
		{"one that is not recorded", alias(blue(), "c4"), false, nil},
		{"one whose record is broken", alias(blue(), "c3"), false, broken},
		{"somebody else's", "", false, nil},
	} {
		port, known, err := p.Connect.UnattachedPort(tt.alias)
		if known != tt.known || !errors.Is(err, tt.err) || known && port.Master != "br-vxlan-blue" {
			t.Errorf("%s: %+v, %t, %v", tt.name, port, known, err)
		}
	}
}
