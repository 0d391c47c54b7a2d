package agent

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/store"
)

const (
	// soon is when a container that was set up is told of to other hosts, and announces its addresses; or when one that was
	// removed is forgotten. Podman is not yet done with it: what is done at once would take a processor from it.
	soon = 5 * time.Millisecond
	// recent is how long ago the setup of a container may have begun that an agent which starts has announce its
	// addresses: the one before it may have been killed before it came to it. To get addresses may take 12 s of it.
	recent = 30 * time.Second
)

// arrivals are containers that have just been set up. Their plugins wait until their names are
// answered, and so do not wait for the loop; all else that a turn does for them follows.
type arrivals struct {
	mu    sync.Mutex
	known map[string]hoststate.Network // networks by id, as the last turn found them, unless it failed
	added []addition                   // since the turn that is under way began, which may not have read them
	quiet []quiet
	mute  bool // announcements fail, and are left to the plugins
}

// addition is a container whose names were added to those of its network.
type addition struct {
	claimant
	names dns.Record
}

// quiet is a container that is to announce its addresses.
type quiet struct {
	claimant
	tries int
}

// maxAnnouncements is how often an announcement is tried, once a second.
const maxAnnouncements = 3

// arrive has the names of a container answered without a turn, however many others there are. It
// fails where that takes one.
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
	if !a.Names.AddRecord(l.Name, names) {
		return false
	}
	before := slices.DeleteFunc(a.arrivals.added, func(e addition) bool { return e.claimant == who })
	a.arrivals.added = append(before, addition{who, names})
	a.arrivals.welcomeLocked(who)
	return true
}

// welcome has a container announce its addresses soon.
func (c *arrivals) welcome(who claimant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.welcomeLocked(who)
}

func (c *arrivals) welcomeLocked(who claimant) {
	if !c.mute && !slices.ContainsFunc(c.quiet, func(q quiet) bool { return q.claimant == who }) {
		c.quiet = append(c.quiet, quiet{claimant: who})
	}
}

// announces tells whether containers that were welcomed announce their addresses.
func (c *arrivals) announces() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.mute
}

func has(l hoststate.Network, containerID string) bool {
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
func (c *arrivals) keep(locals []hoststate.Network, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = nil
	if err != nil {
		return
	}
	c.known = make(map[string]hoststate.Network, len(locals))
	for _, l := range locals {
		c.known[l.ID] = l
	}
}

// withAddedLocked puts into the zones of networks what a turn has not read.
func (c *arrivals) withAddedLocked(zones []dns.Zone, locals []hoststate.Network) []dns.Zone {
	for _, e := range c.added {
		for _, l := range locals {
			i := slices.IndexFunc(zones, func(z dns.Zone) bool { return z.Network == l.Name })
			if l.ID == e.network && i >= 0 && !has(l, e.container) {
				zones[i].Records = append(zones[i].Records, e.names)
			}
		}
	}
	return zones
}

// announce has the containers announce their addresses that have not. What fails is tried again, and no
// trouble of anybody else's. unread says that a network may be missing.
func (a *Agent) announce(s *hoststate.Session, locals []hoststate.Network, unread bool) {
	c := &a.arrivals
	c.mu.Lock()
	all := c.quiet
	c.quiet = nil
	c.mu.Unlock()
	for _, q := range all {
		l, r, ok := find(locals, q.claimant)
		var err error
		if ok {
			err = s.Announce(l, r)
		}
		if err == nil && (ok || !unread) {
			continue
		}
		q.tries++
		c.mu.Lock()
		c.mute = c.mute || q.tries >= maxAnnouncements
		if q.tries < maxAnnouncements {
			c.quiet = append(c.quiet, q)
		}
		c.mu.Unlock()
		a.Log.Warn("a container's addresses were not announced", "container", q.container, "network", q.network, "tries", q.tries, "err", err)
	}
}

// lastWords has containers announce their addresses for which there was no turn.
func (a *Agent) lastWords() {
	s, err := a.Driver.Begin()
	if err != nil {
		a.Log.Warn("have containers announce their addresses", "err", err)
		return
	}
	locals, err := s.Networks()
	a.announce(s, locals, err != nil)
	if err := s.Close(); err != nil {
		a.Log.Warn("have containers announce their addresses", "err", err)
	}
}

// recall has those announce again that are so young that the agent before this one may not have come to it.
func (a *Agent) recall(s *hoststate.Session, locals []hoststate.Network) error {
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
				a.arrivals.welcome(claimant{l.ID, r.ContainerID})
			}
		}
	}
	return errors.Join(errs...)
}

// due tells whether some container has yet to announce its addresses, and when that is tried.
func (c *arrivals) due() (after time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	after = retry
	for _, q := range c.quiet {
		if q.tries == 0 {
			after = soon
		}
	}
	return after, len(c.quiet) > 0
}
