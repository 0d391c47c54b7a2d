package network

import (
	"net/netip"
	"slices"
)

// Peers is what the host's agent knows of the other hosts and the data path depends on. Plugin,
// agent and tool all use it, so that none undoes what another did. Without an agent there is none,
// and the configuration's list of hosts holds.
type Peers struct {
	Flood     []netip.Addr // hosts that get flooded packets, sorted
	StaticFDB bool         // see VTEP
	AgentPort uint16       // see VTEP
	HostAddrs []netip.Addr // this host's own addresses, where the agent assigns them
	WireGuard string       `json:",omitzero"` // see VTEP
	// WireGuardAddrs: see VTEP; sorted.
	WireGuardAddrs []netip.AddrPort `json:",omitempty"`
}

// Equal tells whether both are the same.
func (p Peers) Equal(o Peers) bool {
	return p.StaticFDB == o.StaticFDB && p.AgentPort == o.AgentPort && p.WireGuard == o.WireGuard &&
		slices.Equal(p.Flood, o.Flood) &&
		slices.Equal(p.HostAddrs, o.HostAddrs) && slices.Equal(p.WireGuardAddrs, o.WireGuardAddrs)
}

// Place completes the network and its VTEP. The hosts that may send to this one are still those of
// the network's list, unless hosts find each other.
func (p Peers) Place(n *Network, v *VTEP) {
	v.Flood, v.StaticFDB, v.AgentPort = p.Flood, p.StaticFDB, p.AgentPort
	if n.Encrypts() {
		v.StaticFDB, v.WireGuard, v.WireGuardAddrs = true, p.WireGuard, p.WireGuardAddrs
	}
	if !n.FindsHosts() {
		return
	}
	if v.Remotes = p.Flood; n.ListsHosts() {
		v.Remotes = sortSet(append(v.Listed[:len(v.Listed):len(v.Listed)], p.Flood...))
	}
	for i := range n.Subnets {
		s := &n.Subnets[i]
		for _, a := range p.HostAddrs {
			if s.Prefix.Contains(a) {
				s.HostAddress = a
			}
		}
	}
}
