package agent

import (
	"errors"
	"net/netip"

	"vxlan-driver/internal/addrclaim"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// peerTracker records what is known of the other hosts of this host's networks.
type peerTracker struct {
	clusters  *clusterSet
	claims    *addrclaim.Claims
	agentPort uint16
}

// UpdatePeers records the peers of all networks, and tells whether that is news to the kernel. It
// changes the networks to what they are then.
func (t *peerTracker) UpdatePeers(s *hoststate.Session, networks []hoststate.Network) (changed bool, err error) {
	var errs []error
	for i := range networks {
		if !networks[i].NeedsAgent() {
			continue
		}
		news, err := t.updateNetwork(s, &networks[i])
		changed, errs = changed || news, append(errs, err)
	}
	return changed, errors.Join(errs...)
}

func (t *peerTracker) updateNetwork(s *hoststate.Session, local *hoststate.Network) (changed bool, err error) {
	n := toMembership(*local)
	have, known := local.Peers()
	var recorded *network.Peers
	if known {
		recorded = &have
	}
	want := t.clusters.DiscoveryOf(n).Peers(n, recorded)
	want.AgentPort = t.agentPort
	if n.Gossip {
		want.HostAddrs = t.hostAddrs(n)
	}
	if known && want.Equal(have) {
		return false, nil
	}
	return true, s.SetPeers(local, want)
}

// hostAddrs returns this host's own addresses on a network. Until the other hosts can be asked,
// they are what was recorded.
func (t *peerTracker) hostAddrs(n membership.Network) []netip.Addr {
	if m := t.clusters.MemberOf(n); m != nil && m.Health().Synced {
		return t.claims.ChooseHostAddrs(n, m.Snapshot())
	}
	return n.HostAddrs()
}
