package topology

import (
	"fmt"
	"strings"
	"unicode"

	"vxlan-driver/internal/agentapi"
)

// States of a host, as seen from this one.
const (
	StateSelf        = "this host"
	StateReachable   = "reachable"
	StateUnreachable = "unreachable"
	// StateLossy is of a host whose agent answers, while VXLAN packets do not arrive there, or no large
	// ones.
	StateLossy = "tunnel loses packets"
	// StateElsewhere is of a host on a network that this host is not on. So there is no tunnel.
	StateElsewhere = "no tunnel from here"
)

// Topology is what is drawn.
type Topology struct {
	Networks []Network `json:"networks"`
}

// Network is a network with its hosts.
type Network struct {
	Name  string `json:"name"`
	VNI   uint32 `json:"vni"`
	Port  uint16 `json:"port"` // UDP
	MTU   int    `json:"mtu"`
	Here  bool   `json:"here"` // this host has containers on it
	Hosts []Host `json:"hosts"`
	// Containers counts those of all hosts. Of a network that is not here, only their number is known.
	Containers int `json:"containers"`
}

// Host is a host on a network. This host has a tunnel to each other host of its networks.
type Host struct {
	Name       string      `json:"name"`
	VTEP       string      `json:"vtep,omitempty"`
	State      string      `json:"state"`
	Containers []Container `json:"containers"`
}

// Container is a container on a network.
type Container struct {
	Name  string   `json:"name"`
	Addrs []string `json:"addrs"`
	State string   `json:"state"`
}

// New returns the topology of what a host's agent knows. This host is the first of each network. The
// status says which tunnels lose packets; it may be empty.
func New(all agentapi.Inventory, status agentapi.StatusReport) Topology {
	t := Topology{Networks: []Network{}}
	lossy := make(map[[2]string]bool) // by network and host
	for _, n := range status.Networks {
		for _, tunnel := range n.Tunnels {
			lossy[[2]string{n.Name, tunnel.Host}] = true
		}
	}
	for _, n := range all.Networks {
		t.Networks = append(t.Networks, networkHere(n, lossy))
	}
	for _, n := range all.Elsewhere {
		found := Network{Name: printable(n.Name), VNI: n.VNI, Port: n.Port, MTU: n.MTU, Containers: n.Containers,
			Hosts: []Host{}}
		for _, h := range n.Hosts {
			found.Hosts = append(found.Hosts, Host{Name: printable(h), State: StateElsewhere, Containers: []Container{}})
		}
		t.Networks = append(t.Networks, found)
	}
	return t
}

func networkHere(n agentapi.NetworkInventory, lossy map[[2]string]bool) Network {
	containers := make(map[string][]Container)
	for _, e := range n.Endpoints {
		c := Container{Name: printable(e.Container), Addrs: []string{}, State: printable(e.State)}
		for _, a := range e.Addrs {
			c.Addrs = append(c.Addrs, a.String())
		}
		containers[e.Host] = append(containers[e.Host], c)
	}
	found := Network{
		Name: printable(n.Name), VNI: n.VNI, Port: n.Port, MTU: n.MTU, Here: true,
		Hosts: []Host{}, Containers: len(n.Endpoints),
	}
	for _, m := range n.Hosts {
		h := Host{Name: printable(m.Name), State: stateOf(m, lossy[[2]string{n.Name, m.Name}]),
			Containers: append([]Container{}, containers[m.Name]...)}
		if m.VTEP.IsValid() {
			h.VTEP = m.VTEP.String()
		}
		if m.Self {
			found.Hosts = append([]Host{h}, found.Hosts...)
		} else {
			found.Hosts = append(found.Hosts, h)
		}
	}
	return found
}

func stateOf(m agentapi.MemberInventory, lossy bool) string {
	switch {
	case m.Self:
		return StateSelf
	case m.Reachable && lossy:
		return StateLossy
	case m.Reachable:
		return StateReachable
	}
	return StateUnreachable
}

func (n Network) title() string {
	title := fmt.Sprintf("network %s: VNI %d, UDP port %d", n.Name, n.VNI, n.Port)
	if n.MTU > 0 {
		title += fmt.Sprintf(", MTU %d", n.MTU)
	}
	if !n.Here {
		title += fmt.Sprintf(", not on this host, containers: %d", n.Containers)
	}
	return title
}

func (h Host) title() string { return h.Name + ", " + h.State }

// title is the container's name, its addresses, and its state where that is another one than its
// host's.
func (c Container) title() string {
	title := strings.TrimSpace(c.Name + " " + strings.Join(c.Addrs, " "))
	if c.State != agentapi.EndpointUp && c.State != agentapi.EndpointUnreachable {
		title += ", " + c.State
	}
	return title
}

// maxDrawn is how many containers of a host a drawing shows. A box with more cannot be read.
const maxDrawn = 20

// drawnContainers returns a line a container, and one for those that a drawing leaves out.
func (h Host) drawnContainers() (lines []string) {
	for _, c := range h.Containers[:min(len(h.Containers), maxDrawn)] {
		lines = append(lines, c.title())
	}
	if more := len(h.Containers) - maxDrawn; more > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more", more))
	}
	return lines
}

// printable replaces what would move a terminal's cursor, and what XML cannot have.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, name)
}
