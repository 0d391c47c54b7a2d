package etcd

import (
	"fmt"
	"maps"
	"slices"

	"vxlan-driver/internal/cluster"
)

// Unpublished says what of a network etcd does not have yet, and which addresses are others'.
func (p *Plane) Unpublished(n cluster.NetworkKey) (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, wanted := p.wanted[n]; !wanted {
		return nil
	}
	switch v, problem := p.networks[n], p.problemLocked(); {
	case problem != "":
		return []string{problem}
	case p.client == nil || v == nil || !v.isRead || !p.leftRead:
		return []string{"the agent has not read etcd yet"}
	}
	contested := make(map[recordKey]bool)
	for _, key := range slices.SortedFunc(maps.Keys(p.contest), recordKey.compare) {
		if key.network == n {
			contested[key] = true
			all = append(all, p.contest[key])
		}
	}
	waiting := 0
	for _, c := range p.missingChangesLocked() {
		if c.network == n && !contested[c.recordKey] {
			waiting++
		}
	}
	if waiting > 0 {
		all = append(all, fmt.Sprintf("%d of this host's keys are not in etcd yet", waiting))
	}
	return all
}
