package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Inside is what a container's network namespace has that no network asks for.
type Inside struct {
	Container, Namespace, Interface string
	NoARP, LoopbackDown             bool
	Addrs, OnLoopback               []netip.Prefix // of global scope
	Neighbours                      []Neighbour    // that somebody fixed
	DeadEnds                        []Route        // for addresses of the network
	Rules                           []Rule         // that refuse
	SilentRouters                   []SilentRouter
	Astray                          []StrayRoute   // that lead packets for the network elsewhere
	Unreached                       []netip.Prefix // subnets without a route, with the address there
	Unowned                         []netip.Addr   // that the interface has, and the table local lacks
	Parameters                      map[string]string
	Hooks                           []DeviceHook
	NoGateway                       bool // its gateway does not answer its ping
	// Filters are what it has of its own that may drop its packets. They count where some are lost.
	Filters []Rule
}

// SilentRouter is a router of a route, which nobody is on the network.
type SilentRouter struct {
	Router netip.Addr
	Dst    string // as ip prints it
}

// StrayRoute leads packets for a network's addresses to another device than the container's interface.
type StrayRoute struct {
	To     string // an address or a range
	Device string
	Rule   string // of routing that leads there, as text; "": a route of the table main does
	Delete string // the command that deletes it
}

// checkInsides says what somebody has set in containers, against which no packet passes. As all in
// them it is left to people.
func checkInsides(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, in := range n.Insides {
			findings = append(findings, checkInside(n, in)...)
		}
	}
	return findings
}

// lacksNames tells whether the name server does not answer a container.
func (n Network) lacksNames(container string) bool {
	return slices.ContainsFunc(n.Names, func(a NameAnswer) bool { return a.Container == container && a.Err != "" })
}

// ownFilters is about what a container has of its own that may drop its packets, where it does not
// answer, or gets no answer from its gateway or from somebody who answers this host.
func (n Network) ownFilters(in Inside) []diagnosis.Finding {
	isSilent := slices.ContainsFunc(n.Silent, func(s SilentContainer) bool { return s.Name == in.Container })
	getsNone := slices.ContainsFunc(n.Exchanges, func(e Exchange) bool {
		return e.From == in.Container && !e.Ping && e.HostPing
	})
	isLost := in.NoGateway || isSilent || getsNone || n.lacksNames(in.Container)
	if !isLost || len(in.Filters) == 0 {
		return nil
	}
	found := diagnosis.Finding{
		Code: diagnosis.ContainerAltered, Level: diagnosis.Failure, Network: n.Name,
		Summary: fmt.Sprintf("container %s: filters of its own drop its packets", in.Container),
	}
	if misleads := func(r Rule) bool { return r.Translates }; slices.ContainsFunc(in.Filters, misleads) {
		found.Summary = fmt.Sprintf("container %s: rules of its own lead its questions for names elsewhere", in.Container)
	}
	if changes := func(r Rule) bool { return r.Changes }; slices.ContainsFunc(in.Filters, changes) {
		found.Summary = fmt.Sprintf("container %s: rules of its own translate what it sends", in.Container)
	}
	for _, r := range in.Filters {
		found.Evidence = append(found.Evidence, "in the container: "+cut(r.Text, maxLine))
		found.Mend = append(found.Mend, "nsenter --net="+in.Namespace+" "+r.Delete)
	}
	found.Evidence = atMost(found.Evidence, maxEvidence)
	return []diagnosis.Finding{found}
}

// ownerBeside returns whose an address is beside a container's, as far as this host knows: another
// container's here, or one's of another host, whose neighbour entry the agent wrote.
func (n Network) ownerBeside(container string, addr netip.Addr) (owner string, taken bool) {
	for _, e := range n.Endpoints {
		has := slices.ContainsFunc(e.Addrs, func(p netip.Prefix) bool { return p.Addr() == addr })
		if has {
			return "container " + e.ContainerName, e.ContainerName != container
		}
	}
	for _, x := range n.FixedEntries {
		if x.Addr == addr && n.VTEP.StaticFDB {
			return "the container with the MAC " + x.MAC.String(), true
		}
	}
	return "", false
}

// macOf returns the MAC of one of this host's own addresses on a network: its bridge's, or that of a
// container.
func (n Network) macOf(addr netip.Addr) (mac kernel.MAC, known bool) {
	for _, s := range n.Subnets {
		if addr == s.Gateway || addr == s.HostAddress {
			return network.BridgeMAC(n.Tunnel.VNI, n.VTEP.Local), addr.IsValid()
		}
	}
	for _, e := range n.Endpoints {
		for _, p := range e.Addrs {
			if p.Addr() == addr && !e.MAC.IsZero() {
				return e.MAC, true
			}
		}
	}
	return mac, false
}

func (n Network) gatewayFor(addr netip.Addr) netip.Addr {
	s, _ := n.SubnetOf(addr)
	return s.Gateway
}
