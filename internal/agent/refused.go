package agent

import (
	"net/netip"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
)

// noAnswerAge is longer than the pause between two attempts to join a host. A host that was tried
// longer ago is not listed any more, or has been found.
const noAnswerAge = time.Minute

// refusalStatus returns what was refused as the status shows it. Hosts of the cluster that do not
// answer are left out: it shows them as unreachable.
func refusalStatus(refused []cluster.Refusal, s cluster.Snapshot, now time.Time) []agentapi.RefusalStatus {
	known := make(map[netip.Addr]bool)
	for _, h := range s.Hosts {
		known[h.Addr] = true
	}
	var all []agentapi.RefusalStatus
	for _, r := range refused {
		status := agentapi.RefusalStatus{Reason: r.Reason, Count: r.Count, Silent: r.Silent, OfOtherHost: r.ByOther}
		for _, h := range r.Hosts {
			if status.OfOtherHost && now.Sub(h.Last) > noAnswerAge || status.Silent && known[h.Addr] {
				continue
			}
			status.Hosts = append(status.Hosts, agentapi.RefusedHost{
				Addr: h.Addr, Count: h.Count, Since: now.Sub(h.First), Last: now.Sub(h.Last),
			})
		}
		if len(status.Hosts) > 0 || !status.OfOtherHost {
			all = append(all, status)
		}
	}
	return all
}

// warnIfRefused warns of a host that has found no other since keys, clusters or lists differ. Only
// a network's first container on the host is warned of it: the status shows it at any time.
func (a *Agent) warnIfRefused(networkID string) string {
	n, known := a.dns.Network(networkID)
	if !known || len(n.Endpoints) > 1 {
		return ""
	}
	for _, bind := range a.clusters.bindAddrs(n.Network, n.VTEP.Local) {
		if m := a.clusters.Lookup(bind); m != nil && m.Health().Problem != "" {
			return m.Health().Problem
		}
	}
	return ""
}
