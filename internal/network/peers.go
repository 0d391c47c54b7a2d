package network

import (
	"net/netip"
	"slices"
)

// Peers is what the host's agent has found out and the data path depends on. All
// programs build by it, so that none undoes what another did. Without an agent there
// is none, and a network is as its list says.
type Peers struct {
	Flood     []netip.Addr // hosts that get what is for everybody, sorted
	StaticFDB bool         // see VTEP
	AgentPort uint16       // see VTEP
	HostAddrs []netip.Addr // this host's own, where the agent chooses them
}

// Equal tells whether both say the same.
func (p Peers) Equal(o Peers) bool {
	return p.StaticFDB == o.StaticFDB && p.AgentPort == o.AgentPort && slices.Equal(p.Flood, o.Flood) && slices.Equal(p.HostAddrs, o.HostAddrs)
}

// Place completes what the network and its list say of this host. Who may send is as
// the list says, if there is one.
func (p Peers) Place(n *Network, v *VTEP) {
	v.Flood, v.StaticFDB, v.AgentPort = p.Flood, p.StaticFDB, p.AgentPort
	if !n.Gossip {
		return
	}
	v.Remotes = p.Flood
	for i := range n.Subnets {
		s := &n.Subnets[i]
		for _, a := range p.HostAddrs {
			if s.Prefix.Contains(a) {
				s.HostAddress = a
			}
		}
	}
}
