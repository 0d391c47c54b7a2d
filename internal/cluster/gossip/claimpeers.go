package gossip

import (
	"iter"
	"maps"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// claimPeers are the hosts that are asked for their consent to a claim.
//
// A host that did not answer the last claim is not waited for until it answers one: one that is
// dying, or whose agent knows of no claims, shall not delay each start.
//
// A claim on a network that this host has just joined goes to all hosts, as one of them may be
// about to join it, too. Once they have answered they know that this host is on the network, and
// ask it. So further claims go to the hosts that are on the network, as far as it is known.
type claimPeers struct {
	silent    map[wire.Key]bool           // hosts that did not answer a claim, and have answered none since
	announced map[cluster.NetworkKey]bool // networks of which all hosts know that this one is on them
}

func newClaimPeers() claimPeers {
	return claimPeers{silent: make(map[wire.Key]bool), announced: make(map[cluster.NetworkKey]bool)}
}

// choose returns the hosts whose answers a claim waits for, and those that are only told.
func (c claimPeers) choose(
	network cluster.NetworkKey, members iter.Seq[wire.Key], mayBeOn func(wire.Key, cluster.NetworkKey) bool,
) (asked, others []wire.Key) {
	for host := range members {
		switch {
		case c.announced[network] && !mayBeOn(host, network):
		case c.silent[host]:
			others = append(others, host)
		default:
			asked = append(asked, host)
		}
	}
	return asked, others
}

// noteSilent notes which hosts did not answer a claim. If all did, they know that this host is on
// the network.
func (c claimPeers) noteSilent(network cluster.NetworkKey, silent []wire.Key) {
	for _, host := range silent {
		c.silent[host] = true
	}
	if len(c.silent) == 0 {
		c.announced[network] = true
	}
}

func (c claimPeers) noteAnswer(host wire.Key) { delete(c.silent, host) }

// memberJoined notes a new member, which may not know which networks this host is on.
func (c claimPeers) memberJoined() { clear(c.announced) }

// memberGone forgets a member.
func (c claimPeers) memberGone(host wire.Key) { delete(c.silent, host) }

// forgetNetworks forgets the networks that this host has left.
func (c claimPeers) forgetNetworks(isOn func(cluster.NetworkKey) bool) {
	maps.DeleteFunc(c.announced, func(network cluster.NetworkKey, _ bool) bool { return !isOn(network) })
}
