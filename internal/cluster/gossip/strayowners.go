package gossip

import (
	"fmt"
	"maps"
	"slices"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// handleStraysInUse takes the strays that somebody owns, such as another plane of this host. Of two
// hosts with one ID the one with the higher address gives itself another ID, so exactly one does.
// Until then both are in the cluster, each by its address.
func (p *Plane) handleStraysInUse(inUse map[wire.Key]strayState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if maps.Equal(inUse, p.straysInUse) || p.leaving {
		return
	}
	for host, state := range inUse {
		if state == strayCopy && p.straysInUse[host] != strayCopy && host.Addr.Compare(p.cfg.Bind) < 0 {
			p.cfg.Host.renewID(p.labelLocked(host), p.log)
		}
	}
	p.straysInUse = inUse
	p.notifyLocked()
}

// strayWarningsLocked says for a person which hosts have this one's ID or address.
func (p *Plane) strayWarningsLocked() (warnings []string) {
	for _, host := range slices.SortedFunc(maps.Keys(p.straysInUse), wire.Key.Compare) {
		switch p.straysInUse[host] {
		case strayCopy:
			warnings = append(warnings, fmt.Sprintf("host %s has the ID of this host, as if one was copied from the other; "+
				"if it lasts, remove /var/lib/vxlan/host-id on one of them and restart its agent", p.labelLocked(host)))
		case strayTwin:
			warnings = append(warnings, p.twinWarningLocked(host))
		}
	}
	return warnings
}

// twinWarningLocked says the same on both hosts.
func (p *Plane) twinWarningLocked(host wire.Key) string {
	names := []string{p.cfg.Host.Name(), p.replica.NameOf(host)}
	if names[0] == names[1] {
		names = []string{fmt.Sprintf("%s (ID %v)", names[0], p.cfg.Host.ID), fmt.Sprintf("%s (ID %v)", names[1], host.ID)}
	}
	slices.Sort(names)
	return fmt.Sprintf("hosts %s and %s both have the address %v, so others reach only one of them at a time; "+
		"give one of them another address", names[0], names[1], host.Addr.Addr())
}
