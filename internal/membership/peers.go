package membership

import (
	"maps"
	"net/netip"
	"slices"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

// Discovery is how far a cluster has come in finding the other hosts. The zero value is a cluster
// that was not started.
type Discovery struct {
	Snapshot cluster.Snapshot
	// OfListed is what agents of listed hosts said, also those that are no members. Where hosts are found by
	// a list alone, Snapshot has them.
	OfListed cluster.Snapshot
	Synced   bool // the control plane knows what the other hosts have
	// Carries is what the control plane tells of other hosts.
	Carries cluster.Capabilities
	// GraceOver tells that the agent has run for long enough to have found every host.
	GraceOver bool
	// ForgetOver tells that it has run for as long as an unreachable host is remembered.
	ForgetOver bool
	// Unheard are the hosts of the network's flood list, which an earlier agent recorded, that no
	// host has mentioned since this agent started.
	Unheard []netip.Addr
}

// Converged tells whether what the cluster says of the network may replace what an earlier agent
// recorded. A member that has not been heard of yet must not lose its traffic.
func (d Discovery) Converged(n Network) bool {
	if !d.Synced {
		// A host that cannot listen hears of nobody. With a static list that does not matter.
		return d.GraceOver && !n.FindsHosts()
	}
	return d.GraceOver || len(d.Unheard) == 0
}

// Peers returns what the data path must know of a network's hosts, given what was recorded (nil:
// nothing). Until the cluster has converged, recorded hosts stay. Afterwards a host of a network
// without a static list that is still unheard of stays for as long as an unreachable one: perhaps
// only its agent is down.
func (d Discovery) Peers(n Network, recorded *network.Peers) network.Peers {
	return new(PeerList).Update(n, d, recorded)
}

// PeerList is what Discovery.Peers returned last. Whoever asks again and again needs a look only at the
// members that have changed meanwhile. The zero value has none.
type PeerList struct {
	list    MemberList
	members []*cluster.Member
	heard   network.Peers // what follows from the members alone; not valid without any
}

// Update returns what d.Peers does. The addresses must not be changed.
func (l *PeerList) Update(n Network, d Discovery, recorded *network.Peers) network.Peers {
	members := l.list.Update(n, d.Snapshot)
	if n.ListsHosts() || !sameHosts(l.members, members) {
		l.heard = d.heardPeers(n, members)
	}
	if l.members = members; n.ListsHosts() {
		l.members = nil // the list matters too
	}
	peers := l.heard
	peers.StaticFDB = peers.StaticFDB && d.Carries.ExactForwarding && !n.Tunnel.Group.IsValid()
	if n.Encrypts() {
		// A host gets frames once its key is known, and no frame says where a MAC is.
		peers.StaticFDB = true
	}
	if recorded != nil { // it is not for the other hosts to say
		peers.WireGuard, peers.WireGuardAddrs = recorded.WireGuard, recorded.WireGuardAddrs
	}
	switch {
	case recorded == nil:
	case !d.Converged(n):
		peers.StaticFDB = recorded.StaticFDB
		peers.Flood = slices.Concat(peers.Flood, recorded.Flood)
		sortSet(&peers.Flood)
	case n.FindsHosts() && !d.ForgetOver && len(d.Unheard) > 0:
		peers.Flood = slices.Concat(peers.Flood, d.Unheard)
		sortSet(&peers.Flood)
	}
	return peers
}

// sameHosts tells whether members differ in what they have at most, not in where they are. It is false if
// there are none.
func sameHosts(before, now []*cluster.Member) bool {
	if len(before) != len(now) || len(now) == 0 {
		return false
	}
	for i, m := range now {
		if b := before[i]; m != b && (m.VTEP != b.VTEP || m.StaticFDB != b.StaticFDB) {
			return false
		}
	}
	return true
}

// heardPeers are the peers that the members, the snapshot and the static list alone give.
//
// The flood list has the hosts with a container on the network. A listed host without an agent,
// such as a switch, does not say whether it has containers or which MACs. So it is flooded to, and
// MACs are learned as long as there is such a host.
//
// Unreachable hosts remain members: perhaps only the agent is gone, not the containers.
func (d Discovery) heardPeers(n Network, members []*cluster.Member) network.Peers {
	peers := network.Peers{StaticFDB: true}
	peers.Flood = make([]netip.Addr, 0, len(members))
	for _, m := range members {
		peers.Flood = append(peers.Flood, m.VTEP)
		peers.StaticFDB = peers.StaticFDB && m.StaticFDB
	}
	if listed := n.listed(); len(listed) > 0 && !n.Encrypts() {
		isMember := make(map[netip.Addr]bool, len(members))
		for _, m := range members {
			isMember[m.VTEP] = true
		}
		// A host whose agent answers would say so if it had a container on the network.
		answering := addressesOf(d.Snapshot, (*cluster.Host).Reachable)
		maps.Copy(answering, addressesOf(d.OfListed, (*cluster.Host).Reachable))
		for _, remote := range listed {
			if !isMember[remote] && !(d.Carries.Members && answering[remote]) {
				peers.Flood = append(peers.Flood, remote)
				peers.StaticFDB = false
			}
		}
	}
	sortSet(&peers.Flood)
	return peers
}

// KnownAddresses has the addresses of all hosts that were heard of, unreachable ones too.
func KnownAddresses(s cluster.Snapshot) map[netip.Addr]bool {
	return addressesOf(s, func(*cluster.Host) bool { return true })
}

// addressesOf has the addresses of the selected hosts: their agents' and their VTEPs.
func addressesOf(s cluster.Snapshot, selected func(*cluster.Host) bool) map[netip.Addr]bool {
	addrs := make(map[netip.Addr]bool, 2*len(s.Hosts))
	for _, h := range s.Hosts {
		if !selected(h) {
			continue
		}
		addrs[h.Addr] = true
		for _, m := range h.Memberships {
			addrs[m.VTEP] = true
		}
	}
	return addrs
}

// sortSet sorts addresses, and drops those that are repeated.
func sortSet(addrs *[]netip.Addr) {
	slices.SortFunc(*addrs, netip.Addr.Compare)
	*addrs = slices.Compact(*addrs)
}
