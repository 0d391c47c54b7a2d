package agent

import (
	"fmt"
	"net/netip"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// movingNetwork is a network on its way from one plane to another, as a turn found it.
type movingNetwork struct {
	membership.Network
	duplicates []membership.Duplicate
}

// moveStatus says how far a network has moved. Any goroutine may call it.
func (s *clusterSet) moveStatus(n movingNetwork) *agentapi.MoveStatus {
	planes := n.Planes()
	status := &agentapi.MoveStatus{From: planes[1].Name(), To: planes[0].Name()}
	to := s.Lookup(s.bindAddr(planes[0], n.VTEP.Local))
	if to == nil {
		status.Here = []string{fmt.Sprintf("the agent cannot use %s; `vxlanctl status` says why", n.Discovery)}
		return status
	}
	status.Here = append(n.unfinishedBy(to), n.outsideParts()...)
	from, there := s.Lookup(s.bindAddr(planes[1], n.VTEP.Local)), n.Members(snapshotBy(planes[0], n.Network, to))
	var before []*cluster.Member
	if from != nil {
		before = n.Members(snapshotBy(planes[1], n.Network, from))
	}
	missing := make(map[netip.Addr]bool)
	for _, m := range cluster.MissingMembers(before, there) {
		status.Missing, missing[m.VTEP] = append(status.Missing, m.Host), true
	}
	if planes[1] != network.DiscoveryStatic {
		return status
	}
	for _, a := range n.Unlisted(there) {
		if !missing[a] {
			status.Missing = append(status.Missing, a.String())
		}
	}
	return status
}

// outsideParts says which containers keep a network from going back to a list of hosts: each of these hands out
// its part of the addresses without asking.
func (n movingNetwork) outsideParts() (all []string) {
	if n.Discovery != network.DiscoveryStatic {
		return nil
	}
	for _, e := range n.Endpoints {
		for _, a := range membership.AddrsOf(e) {
			if s, ok := n.SubnetOf(a); ok && !s.Lease.Contains(a) {
				all = append(all, fmt.Sprintf("container %s has the address %v, and this host hands out %s; "+
					"recreate it without --ip", membership.ContainerLabel(e.Names(), e.ContainerID), a, s.Lease.Typed()))
			}
		}
	}
	return all
}

// unfinishedBy says what keeps this host from being on the network by one plane alone.
func (n movingNetwork) unfinishedBy(m *clusterMember) (all []string) {
	if reporter, ok := m.Plane.(cluster.PublicationReporter); ok {
		all = reporter.Unpublished(n.Key())
	}
	if !m.Health().Synced && len(all) == 0 {
		all = append(all, fmt.Sprintf("%s has not told yet what other hosts have", n.Discovery))
	}
	for _, d := range n.duplicates {
		all = append(all, d.String())
	}
	return all
}
