package network

import (
	"net/netip"
	"slices"
)

// The resolver answers names on the first port of these that is free; port 53 is redirected to it.
// Podman reserves each published port by listening on it on all addresses, before it calls the
// plugin, and a container does not start if anybody has the port on any address. So the resolver
// takes neither 53 nor what people take instead of it, such as 1053 and 5353. These ports are above
// those that the kernel gives to clients, and no service is known to have one of them.
const (
	FirstResolverPort uint16 = 61053
	LastResolverPort  uint16 = 61068
)

// NeedsAgent tells whether the network works only with an agent.
func (n Network) NeedsAgent() bool { return n.FindsHosts() || n.HasNames() }

// AgentPicks tells whether the agent assigns containers' addresses: it picks them, or claims what Podman
// has picked.
func (n Network) AgentPicks() bool { return n.FindsHosts() && len(n.Subnets) > 0 }

// HasNames tells whether containers find each other by name.
func (n Network) HasNames() bool { return len(n.Resolvers()) > 0 }

// Resolvers returns the addresses on the bridge that answer containers' queries: each subnet's
// gateway, or the host's own address where there is none. A network without DNS or subnets has
// none.
func (n Network) Resolvers() []netip.Addr {
	var all []netip.Addr
	for _, s := range n.Subnets {
		switch {
		case !n.DNS:
		case s.Gateway.IsValid():
			all = append(all, s.Gateway)
		case s.HostAddress.IsValid():
			all = append(all, s.HostAddress)
		}
	}
	return all
}

// ResolverAddrs returns all addresses that the network's name server listens on: the resolvers, and
// the host's own addresses for the host's own queries.
func (n Network) ResolverAddrs() []netip.Addr {
	all := n.Resolvers()
	for _, a := range n.HostAddrs() {
		if !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	return all
}

// HostAddrs returns this host's own addresses on the bridge.
func (n Network) HostAddrs() []netip.Addr {
	var all []netip.Addr
	for _, s := range n.Subnets {
		if s.HostAddress.IsValid() {
			all = append(all, s.HostAddress)
		}
	}
	return all
}

// shortIDLen is the length of the short ids that Podman shows and accepts.
const shortIDLen = 12

// Names returns the names by which other containers find the endpoint: its name, its aliases and
// its short id.
func (e Endpoint) Names() []string {
	names := []string{e.ContainerName}
	for _, a := range append(slices.Clone(e.Aliases), e.ContainerID[:min(shortIDLen, len(e.ContainerID))]) {
		if !slices.Contains(names, a) {
			names = append(names, a)
		}
	}
	return names
}
