package agent

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/driver"
	"vxlan-driver/internal/store"
)

const (
	// soon is when a container that was set up is told of to other hosts, and announces its addresses. Its start is
	// still under way, which takes some 30 ms more; what is done at once would take the plugin's processor from it.
	soon = 5 * time.Millisecond
	// recent is how old a container may be that an agent that starts has announce its addresses: the one before it
	// may have been killed in between.
	recent = 10 * time.Second
)

// arrivals are containers that have just been set up. Their plugins wait until their names are
// answered, and so do not wait for the loop; all else that a turn does for them follows.
type arrivals struct {
	mu    sync.Mutex
	known map[string]driver.Local // networks by id, as of the last turn, if all was well
	added []arrival               // since the turn that is under way began, which may not have read them
	quiet []claimant              // are to announce their addresses
}

// arrival is a container whose names were added to those of its network.
type arrival struct {
	claimant
	names dns.Endpoint
}

// arrive has the names of a container answered, at the same cost however many others there are. It
// fails where that takes a turn.
func (a *Agent) arrive(who claimant) bool {
	a.arrivals.mu.Lock()
	defer a.arrivals.mu.Unlock()
	l, ok := a.arrivals.known[who.network]
	if !ok || !l.HasNames() || has(l, who.container) {
		return false
	}
	r, err := a.Driver.Record(who.network, who.container)
	if err != nil || pending(l.Network, &r) {
		return false
	}
	names := tell(&r).toNames
	if !a.Names.Add(l.Name, names) {
		return false
	}
	a.arrivals.added = append(a.arrivals.added, arrival{who, names})
	a.arrivals.welcomeLocked(who)
	return true
}

func (c *arrivals) welcomeLocked(who claimant) {
	if !slices.Contains(c.quiet, who) {
		c.quiet = append(c.quiet, who)
	}
}

// welcome has a container announce its addresses soon.
func (a *Agent) welcome(who claimant) {
	a.arrivals.mu.Lock()
	defer a.arrivals.mu.Unlock()
	a.arrivals.welcomeLocked(who)
}

func has(l driver.Local, containerID string) bool {
	_, ok := slices.BinarySearchFunc(l.Endpoints, containerID, func(r *store.Record, id string) int { return cmp.Compare(r.ContainerID, id) })
	return ok
}

// begin comes before a turn reads the store: what was added so far, it reads.
func (c *arrivals) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added = nil
}

// keep notes what a turn found.
func (c *arrivals) keep(locals []driver.Local, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = nil
	if err != nil {
		return
	}
	c.known = make(map[string]driver.Local, len(locals))
	for _, l := range locals {
		c.known[l.ID] = l
	}
}

// withAddedLocked puts into the zones of networks what a turn has not read.
func (c *arrivals) withAddedLocked(zones []dns.Zone, locals []driver.Local) []dns.Zone {
	for _, e := range c.added {
		for _, l := range locals {
			i := slices.IndexFunc(zones, func(z dns.Zone) bool { return z.Network == l.Name })
			if l.ID == e.network && i >= 0 && !has(l, e.container) {
				zones[i].Endpoints = append(zones[i].Endpoints, e.names)
			}
		}
	}
	return zones
}

// announce has the containers announce their addresses that have not.
func (a *Agent) announce(s *driver.Session, locals []driver.Local) error {
	a.arrivals.mu.Lock()
	quiet := a.arrivals.quiet
	a.arrivals.quiet = nil
	a.arrivals.mu.Unlock()
	var errs []error
	for _, who := range quiet {
		if l, r, ok := find(locals, who); ok {
			errs = append(errs, s.Announce(l, r))
		}
	}
	return errors.Join(errs...)
}

// recall has those announce again that are so young that the agent before this one may not have come to it.
func (a *Agent) recall(s *driver.Session, locals []driver.Local) error {
	if a.recalled {
		return nil
	}
	a.recalled = true
	var errs []error
	for _, l := range locals {
		for _, r := range l.Endpoints {
			age, err := s.Age(r)
			errs = append(errs, err)
			if l.HasNames() && err == nil && age < recent {
				a.welcome(claimant{l.ID, r.ContainerID})
			}
		}
	}
	return errors.Join(errs...)
}

// anyQuiet tells whether some container has yet to announce its addresses.
func (c *arrivals) anyQuiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.quiet) > 0
}
