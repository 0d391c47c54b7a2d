package agent

import (
	"net/netip"
	"slices"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// SnapshotOf returns what the other hosts of a network said. Clusters do not share networks, but for one
// that moves from one plane to another. Its hosts are those of both.
func (s *clusterSet) SnapshotOf(n membership.Network) cluster.Snapshot {
	var snapshots []cluster.Snapshot
	for _, d := range n.Planes() {
		if m := s.members[s.bindAddr(d, n.VTEP.Local)]; m != nil {
			snapshots = append(snapshots, snapshotBy(d, n, m))
		}
	}
	switch {
	case len(snapshots) == 0:
		return cluster.Snapshot{}
	case len(snapshots) == 1:
		return snapshots[0]
	case s.unions[n.ID] == nil:
		s.unions[n.ID] = new(cluster.Union)
	}
	return s.unions[n.ID].Update(n.Key(), snapshots[0], snapshots[1])
}

// snapshotBy returns what the hosts that a network has by one of its planes said.
func snapshotBy(d network.Discovery, n membership.Network, m *clusterMember) cluster.Snapshot {
	if d == network.DiscoveryStatic && n.IsMoving() {
		return n.ListedAlone(m.Snapshot())
	}
	return m.Snapshot()
}

// DiscoveryOf tells how far the discovery of a network's hosts has come. That of a network on two planes
// is as far as the slower one.
func (s *clusterSet) DiscoveryOf(n membership.Network) membership.Discovery {
	binds := s.bindAddrs(n.Network, n.VTEP.Local)
	d := s.discoveryBy(binds[0], n)
	for _, bind := range binds[1:] {
		other := s.discoveryBy(bind, n)
		d.Synced = d.Synced && other.Synced
		d.GraceOver, d.ForgetOver = d.GraceOver && other.GraceOver, d.ForgetOver && other.ForgetOver
		d.Carries = d.Carries.And(other.Carries)
		d.Unheard = slices.DeleteFunc(slices.Clone(d.Unheard), func(a netip.Addr) bool {
			return !slices.Contains(other.Unheard, a) // whom one plane mentions is not unheard of
		})
	}
	d.Snapshot = s.SnapshotOf(n)
	if m := s.members[s.bindAddr(network.DiscoveryStatic, n.VTEP.Local)]; m != nil && n.IsMoving() && n.ListsHosts() {
		d.OfListed = m.Snapshot()
	}
	return d
}

// discoveryBy tells how far one plane has come, but for its snapshot.
func (s *clusterSet) discoveryBy(bind netip.Addr, n membership.Network) membership.Discovery {
	m := s.members[bind]
	if m == nil {
		return membership.Discovery{Carries: s.kindOf(bind).Carries, Unheard: n.VTEP.Flood}
	}
	return membership.Discovery{
		Synced: m.Health().Synced, Carries: m.kind.Carries,
		GraceOver: time.Since(m.since) >= gracePeriod, ForgetOver: boottime.Since(m.born) >= s.config.ForgetAfter,
		Unheard: m.UnheardPeers(n.VTEP.Flood),
	}
}

// RetainUnions forgets what was merged of networks that do not move any more.
func (s *clusterSet) RetainUnions(networks []hoststate.Network) {
	for id := range s.unions {
		if !slices.ContainsFunc(networks, func(n hoststate.Network) bool { return n.ID == id && n.IsMoving() }) {
			delete(s.unions, id)
		}
	}
}
