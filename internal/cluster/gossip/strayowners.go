package gossip

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// strays are what this host knows of the records that seem to be its own.
type strays struct {
	inUse  map[wire.Key]strayState // those that somebody owns
	pauses map[wire.Key]strayPause // before one is taken out again
}

// strayPause is how long a record is not taken out again.
type strayPause struct {
	length time.Duration
	until  time.Time
}

// leaveAlone tells whether a record that its owner has put back is left alone: as long as others
// reach the owner, and for a pause that grows each time. Where two hosts have one address, others
// reach one of them at a time.
func (s *strays) leaveAlone(host wire.Key, isMember bool, now time.Time) bool {
	if s.pauses[host].until.IsZero() {
		s.growPause(host, now)
	}
	return isMember || now.Before(s.pauses[host].until)
}

func (s *strays) growPause(host wire.Key, now time.Time) {
	length := min(max(strayInterval, 2*s.pauses[host].length), maxStrayPause)
	s.pauses[host] = strayPause{length, now.Add(length)}
}

// handleStraysInUse takes the strays that somebody owns, such as another plane of this host. Of two
// hosts with one ID the one with the higher address gives itself another ID, so exactly one does.
// Until then both are in the cluster, each by its address.
func (p *Plane) handleStraysInUse(inUse map[wire.Key]strayState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if maps.Equal(inUse, p.strays.inUse) || p.leaving {
		return
	}
	for host, state := range inUse {
		if state == strayCopy && p.strays.inUse[host] != strayCopy && host.Addr.Compare(p.cfg.Bind) < 0 {
			p.cfg.Host.renewID(p.labelLocked(host), p.log)
		}
	}
	p.strays.inUse = inUse
	p.notifyLocked()
}

// strayWarningsLocked says for a person which hosts have this one's ID or address.
func (p *Plane) strayWarningsLocked() (warnings []string) {
	for _, host := range slices.SortedFunc(maps.Keys(p.strays.inUse), wire.Key.Compare) {
		switch p.strays.inUse[host] {
		case strayCopy:
			warnings = append(warnings, fmt.Sprintf("host %s has the ID of this host, as if one was copied from the other; "+
				"%sif it lasts, remove /var/lib/vxlan/host-id on one of them and restart its agent",
				p.labelLocked(host), p.cfg.Host.renewalProblem()))
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
