package network

import (
	"net/netip"
	"slices"
)

// NeedsAgent tells whether the network wants what only the host's agent can do.
func (n Network) NeedsAgent() bool { return n.Gossip || n.HasNames() }

// AgentPicks tells whether the agent, not Podman, chooses containers' addresses.
func (n Network) AgentPicks() bool { return n.Gossip && len(n.Subnets) > 0 }

// HasNames tells whether containers find each other by name.
func (n Network) HasNames() bool { return len(n.Resolvers()) > 0 }

// Resolvers returns the addresses on the bridge where containers ask for names: of
// each subnet the gateway, or the host's own address where there is none. Without
// names or subnets there are none.
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

// ResolverAddrs returns all addresses that a network's resolver answers on: the host asks
// on its own too.
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

// shortID is how many digits of a container's id Podman shows, and takes for a name.
const shortID = 12

// Names returns by what other containers find the endpoint: its name, its aliases,
// and the start of its id.
func (e Endpoint) Names() []string {
	names := []string{e.ContainerName}
	for _, a := range append(slices.Clone(e.Aliases), e.ContainerID[:min(shortID, len(e.ContainerID))]) {
		if !slices.Contains(names, a) {
			names = append(names, a)
		}
	}
	return names
}
