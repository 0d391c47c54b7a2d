package agent

import (
	"fmt"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
)

// movingNetwork is a network on its way from one plane to another, as a turn found it.
type movingNetwork struct {
	membership.Network
	duplicates []membership.Duplicate
}

// moveStatus says how far a network has moved. Any goroutine may call it.
func (s *clusterSet) moveStatus(n movingNetwork) *agentapi.MoveStatus {
	status := &agentapi.MoveStatus{From: string(n.DiscoveryAlso), To: string(n.Discovery)}
	to := s.Lookup(s.bindAddr(n.Discovery, n.VTEP.Local))
	if to == nil {
		status.Here = []string{fmt.Sprintf("the agent cannot use %s; `vxlanctl status` says why", n.Discovery)}
		return status
	}
	status.Here = n.unfinishedBy(to)
	if from := s.Lookup(s.bindAddr(n.DiscoveryAlso, n.VTEP.Local)); from != nil {
		for _, m := range cluster.MissingMembers(n.Members(from.Snapshot()), n.Members(to.Snapshot())) {
			status.Missing = append(status.Missing, m.Host)
		}
	}
	return status
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
