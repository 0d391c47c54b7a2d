package ctl

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
)

// PathHost is the host on which a path begins.
type PathHost interface {
	InventorySource
	// Namespace returns the path of a container's network namespace.
	Namespace(networkID, containerID string) (string, error)
}

// HostFinder finds other hosts, also while this one has no network.
type HostFinder interface {
	// Hosts returns all hosts that the agent knows, this one first.
	Hosts() ([]agentapi.HostStatus, error)
	// OwnAddress returns the address by which this host talks to others, of which it knows some.
	OwnAddress(known []netip.Addr) (netip.Addr, error)
	// MTU is that of the interface that has the address.
	MTU(addr netip.Addr) (int, error)
}

// Path is the way from one container to another one, or from this host to another host.
type Path struct {
	Network  string     `json:"network,omitempty"` // empty: between hosts
	From     string     `json:"from"`
	To       string     `json:"to"`
	Src      netip.Addr `json:"src"`
	Dst      netip.Addr `json:"dst"`
	Host     string     `json:"host"`                // of From: this one
	ToHost   string     `json:"to_host,omitempty"`   // of To; empty: nobody knows
	RangeOf  string     `json:"range_of,omitempty"`  // where ToHost is empty: the host that hands To out
	SameHost bool       `json:"same_host,omitempty"` // both are on this host
	VTEP     netip.Addr `json:"vtep,omitzero"`       // of To's host
	MTU      int        `json:"mtu"`                 // of the network, or of the underlay

	Namespace string `json:"-"` // of From; empty: this host's own
	VNI       uint32 `json:"vni,omitempty"`
	Port      uint16 `json:"port,omitempty"` // UDP, of the tunnel
}

// findPath finds the way from a container of this host to a target: a container or an address. With
// no from, it begins at any container that is on the target's network.
func findPath(host PathHost, from, to string) (Path, error) {
	all, alone, err := host.Inventory()
	if err != nil {
		return Path{}, err
	}
	var problems []string
	for _, n := range all.Networks {
		p, source, err := pathOn(n, from, to)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		p.Namespace, err = host.Namespace(n.ID, source.ID)
		return p, err
	}
	switch {
	case len(all.Networks) == 0:
		return Path{}, errors.New("no VXLAN network has a container on this host to start from; start one, " +
			"or ping a host of `vxlanctl host ls`")
	case alone:
		problems = append(problems, aloneNote)
	}
	return Path{}, errors.New(strings.Join(problems, "; "))
}

// pathOn finds the way on one network.
func pathOn(n agentapi.NetworkInventory, from, to string) (p Path, source agentapi.EndpointInventory, err error) {
	self := slices.IndexFunc(n.Hosts, func(h agentapi.MemberInventory) bool { return h.Self })
	if self < 0 {
		return Path{}, source, fmt.Errorf("network %s has no container on this host", n.Name)
	}
	p = Path{Network: n.Name, To: to, Host: n.Hosts[self].Name, MTU: n.MTU, VNI: n.VNI, Port: n.Port}
	target, known := findEndpoint(n.Endpoints, to, func(agentapi.EndpointInventory) bool { return true })
	addr, addrErr := netip.ParseAddr(to)
	switch {
	case known:
		p.To, p.ToHost, p.SameHost = target.Container, target.Host, target.Host == p.Host
		p.VTEP = vtepOf(n.Hosts, target.Host)
	case addrErr != nil:
		return Path{}, source, fmt.Errorf("network %s has no container %s", n.Name, to)
	case !slices.ContainsFunc(n.Subnets, func(s agentapi.SubnetInventory) bool { return s.Prefix.Contains(addr) }):
		return Path{}, source, fmt.Errorf("address %s is in no subnet of network %s", addr, n.Name)
	default:
		p.leadToHost(n, addr)
	}
	isSource := func(e agentapi.EndpointInventory) bool {
		return e.Host == p.Host && len(e.Addrs) > 0 && (!known || e.ID != target.ID)
	}
	source, found := findEndpoint(n.Endpoints, from, isSource)
	if !found {
		if from == "" {
			return Path{}, source, fmt.Errorf("network %s has no other container on this host to start from", n.Name)
		}
		return Path{}, source, fmt.Errorf("container %s is not on network %s of this host", from, n.Name)
	}
	p.From = source.Container
	if p.Dst = addr; known && addrErr != nil {
		p.Dst = sameFamily(target.Addrs, source.Addrs)
	}
	p.Src = sameFamily(source.Addrs, []netip.Addr{p.Dst})
	if !p.Src.IsValid() || !p.Dst.IsValid() {
		return Path{}, source, fmt.Errorf("containers %s and %s have no addresses of one family on network %s", p.From, p.To,
			n.Name)
	}
	return p, source, nil
}

// leadToHost finds out whose an address is that no container has: a host's own, or one that a host hands
// out. Each host has the gateway's.
func (p *Path) leadToHost(n agentapi.NetworkInventory, addr netip.Addr) {
	for _, h := range n.Hosts {
		if slices.Contains(h.HostAddrs, addr) {
			p.ToHost, p.SameHost = h.Name, h.Self
			if !h.Self {
				p.VTEP = h.VTEP
			}
			return
		}
	}
	for _, s := range n.Subnets {
		if addr == s.Gateway {
			p.ToHost, p.SameHost = p.Host, true
			return
		}
		for _, part := range s.Slices {
			if !part.Host.IsValid() || addr.Less(part.First) || part.Last.Less(addr) {
				continue
			}
			p.RangeOf = part.Host.String()
			if i := slices.IndexFunc(n.Hosts, func(h agentapi.MemberInventory) bool { return h.VTEP == part.Host }); i >= 0 {
				p.RangeOf = n.Hosts[i].Name
			}
		}
	}
}

// findEndpoint finds a container by its name, another name of it, its ID or an address. Without a
// text it is the first that is accepted.
func findEndpoint(all []agentapi.EndpointInventory, text string,
	accept func(agentapi.EndpointInventory) bool) (agentapi.EndpointInventory, bool) {
	addr, _ := netip.ParseAddr(text)
	for _, e := range all {
		isMeant := text == "" || e.Container == text || e.ID == text || slices.Contains(e.Names, text) ||
			slices.Contains(e.Addrs, addr)
		if isMeant && accept(e) {
			return e, true
		}
	}
	return agentapi.EndpointInventory{}, false
}

// sameFamily returns the first address that is of the family of any of the others.
func sameFamily(addrs, others []netip.Addr) netip.Addr {
	for _, a := range addrs {
		if slices.ContainsFunc(others, func(o netip.Addr) bool { return o.BitLen() == a.BitLen() }) {
			return a
		}
	}
	return netip.Addr{}
}

func vtepOf(hosts []agentapi.MemberInventory, name string) netip.Addr {
	for _, h := range hosts {
		if h.Name == name {
			return h.VTEP
		}
	}
	return netip.Addr{}
}

// isContainer tells whether a container of this host's networks is called so.
func isContainer(host PathHost, name string) bool {
	for _, n := range inventoryOf(host).Networks {
		if _, found := findEndpoint(n.Endpoints, name, func(agentapi.EndpointInventory) bool { return true }); found {
			return true
		}
	}
	return false
}

// findHostPath finds the way from this host to another one, on the underlay.
func findHostPath(host PathHost, name string) (Path, bool) {
	all, _, err := host.Inventory()
	if err != nil {
		return Path{}, false
	}
	addr, _ := netip.ParseAddr(name)
	for _, n := range all.Networks {
		for _, h := range n.Hosts {
			short, _, _ := strings.Cut(h.Name, " ")
			if !h.Self && (h.Name == name || short == name || h.VTEP == addr) {
				return Path{From: "this host", To: short, Src: n.VTEP, Dst: h.VTEP, ToHost: h.Name, VTEP: h.VTEP,
					MTU: n.UnderlayMTU}, true
			}
		}
	}
	return Path{}, false
}

// findKnownHost finds the way to a host that the agent knows. A host without a network has none in
// common with it.
func findKnownHost(host HostFinder, name string) (Path, bool) {
	hosts, err := host.Hosts()
	if err != nil {
		return Path{}, false
	}
	addr, _ := netip.ParseAddr(name)
	for _, h := range hosts {
		isMeant := strings.EqualFold(h.HostName, name) || h.Name == name || h.ID == name || h.Addr == addr
		if h.Self || !h.Addr.IsValid() || !isMeant {
			continue
		}
		own, err := host.OwnAddress([]netip.Addr{h.Addr})
		if err != nil || own.BitLen() != h.Addr.BitLen() {
			return Path{}, false
		}
		mtu, err := host.MTU(own)
		return Path{From: "this host", To: cmp.Or(h.HostName, h.Name), Src: own, Dst: h.Addr, ToHost: h.Name, VTEP: h.Addr,
			MTU: mtu}, err == nil
	}
	return Path{}, false
}
