package gossip

import (
	"fmt"
	"maps"
	"slices"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// handleCopies takes the hosts that have this one's ID. Of two such hosts the one with the higher
// address gives itself another ID, so exactly one does. Until then both are in the cluster, each by
// its address.
//
// straysInUse are all strays that somebody owns, such as another plane of this host.
func (p *Plane) handleCopies(found []wire.Key, straysInUse map[wire.Key]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !maps.Equal(straysInUse, p.straysInUse) {
		p.straysInUse = straysInUse
		p.notifyLocked()
	}
	if slices.Equal(found, p.copies) || p.leaving {
		return
	}
	p.copies = found
	for _, host := range found {
		if host.Addr.Compare(p.cfg.Bind) < 0 {
			p.cfg.Host.renewID(p.labelLocked(host), p.log)
		}
	}
	p.notifyLocked()
}

// copyWarningsLocked says for a person which hosts have this one's ID.
func (p *Plane) copyWarningsLocked() (warnings []string) {
	for _, host := range p.copies {
		warnings = append(warnings, fmt.Sprintf("host %s has the ID of this host, as if one was copied from the other; "+
			"if it lasts, remove /var/lib/vxlan/host-id on one of them and restart its agent", p.labelLocked(host)))
	}
	return warnings
}
