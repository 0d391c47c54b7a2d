package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/control"
	"vxlan-driver/internal/driver"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/store"
)

// claims are the addresses that containers of this host are about to get. Other hosts are
// told of them as endpoints that have nothing else. Those who ask for addresses do not
// wait for the loop, so it has what a turn found too.
type claims struct {
	mu    sync.Mutex
	parts map[netip.Addr]part // by the address that the hosts talk by
	held  map[claimant]claim
	next  map[string]netip.Addr   // where to go on, by network and subnet: what was given back last is given out last
	own   map[string][]netip.Addr // this host's, by network, from the moment that they are chosen
}

// part is what this host has in a cluster.
type part struct {
	cluster *running
	locals  []driver.Local
}

type claimant struct{ network, container string } // ids

type claim struct {
	addrs []netip.Addr
	bind  netip.Addr
	since time.Time
}

// claimTimeout is longer than a plugin that has the answer can wait for the store's lock:
// after that it has recorded the addresses, or never will.
const claimTimeout = 90 * time.Second

// pending tells whether a container of the network waits for addresses.
func pending(n network.Network, r store.Record) bool { return n.AgentPicks() && len(r.Addrs) == 0 }

// announce tells a cluster what this host has, claims included, and drops those that have
// become endpoints, or whose container is gone.
func (c *claims) announce(bind netip.Addr, r *running, locals []driver.Local) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parts == nil {
		c.parts = make(map[netip.Addr]part)
	}
	c.parts[bind] = part{r, locals}
	for who, cl := range c.held {
		if cl.bind != bind {
			continue
		}
		l, r, ok := find(locals, who)
		if !ok || !pending(l.Network, r) || time.Since(cl.since) > claimTimeout {
			delete(c.held, who)
		}
	}
	return c.tellLocked(bind)
}

func (c *claims) tellLocked(bind netip.Addr) error {
	p := c.parts[bind]
	all := attachments(p.locals)
	for _, l := range p.locals {
		i := slices.IndexFunc(all, func(a control.Attachment) bool { return a.Network == key(l) })
		for who, cl := range c.held {
			if i >= 0 && who.network == l.ID {
				all[i].Endpoints = append(all[i].Endpoints, control.Endpoint{ContainerID: who.container, Addrs: cl.addrs})
			}
		}
	}
	if err := p.cluster.Set(all); err != nil {
		return fmt.Errorf("cluster of %v: %w", bind, err)
	}
	return nil
}

// find returns a container that is in the store.
func find(locals []driver.Local, who claimant) (driver.Local, store.Record, bool) {
	for _, l := range locals {
		if l.ID != who.network {
			continue
		}
		for _, r := range l.Endpoints {
			if r.ContainerID == who.container {
				return l, r, true
			}
		}
	}
	return driver.Local{}, store.Record{}, false
}

// findLocked also returns the cluster's address.
func (c *claims) findLocked(who claimant) (bind netip.Addr, l driver.Local, r store.Record, err error) {
	for bind, p := range c.parts {
		if l, r, ok := find(p.locals, who); ok {
			return bind, l, r, nil
		}
	}
	return bind, l, r, fmt.Errorf("container %s is not recorded on network %s", who.container, who.network)
}

// clusterOf returns the cluster of a network that this host has a container on.
func (c *claims) clusterOf(who claimant) (*running, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bind, _, _, err := c.findLocked(who)
	return c.parts[bind].cluster, err
}

// claim picks an address of each subnet that none of the kept ones is of, and tells the
// others. What it finds in use is not taken, nor a kept one on the first try, which the user
// wants. A container that has its addresses keeps them.
func (c *claims) claim(who claimant, keep, avoid []netip.Addr, try int) ([]netip.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bind, l, r, err := c.findLocked(who)
	if err != nil {
		return nil, err
	}
	if !pending(l.Network, r) {
		return addrs(r), nil
	}
	others := c.holdersLocked(l, c.parts[bind].cluster.Snapshot(), who.container)
	for _, a := range append(l.HostAddrs(), c.own[l.ID]...) {
		others.add(a, holder{vtep: l.VTEP.Local})
	}
	if try == 0 {
		if err := refuse(l, keep, others); err != nil {
			return nil, err
		}
	}
	taken := func(a netip.Addr) bool {
		_, held := others[a]
		return held || slices.Contains(avoid, a)
	}
	var all []netip.Addr
	for _, s := range l.Subnets {
		kept := slices.DeleteFunc(slices.Clone(keep), func(a netip.Addr) bool { return !s.Prefix.Contains(a) })
		if len(kept) == 0 {
			a, err := c.pickLocked(l, s, taken, try)
			if err != nil {
				return nil, fmt.Errorf("network %s: %w", l.Name, err)
			}
			kept = append(kept, a)
		}
		all = append(all, kept...)
	}
	if c.held == nil {
		c.held = make(map[claimant]claim)
	}
	c.held[who] = claim{addrs: all, bind: bind, since: time.Now()}
	return all, c.tellLocked(bind)
}

// refuse tells why a container cannot have the addresses that its user wants.
func refuse(l driver.Local, wanted []netip.Addr, others map[netip.Addr]holder) error {
	for _, a := range wanted {
		if _, ok := l.SubnetOf(a); !ok {
			return fmt.Errorf("address %v is in no subnet of network %s", a, l.Name)
		}
		if h, held := others[a]; held {
			return inUse(l, a, h)
		}
	}
	return nil
}

func inUse(l driver.Local, a netip.Addr, h holder) error {
	return fmt.Errorf("address %v of network %s is in use by %v; choose another --ip", a, l.Name, h)
}

// pickLocked goes on where it was, and elsewhere if others are there too: who goes on beside
// them meets them again.
func (c *claims) pickLocked(l driver.Local, s network.Subnet, taken func(netip.Addr) bool, try int) (netip.Addr, error) {
	id := l.ID + " " + s.Prefix.String()
	start, ok := c.next[id]
	switch {
	case try > 0:
		start = ipam.Start(s, fmt.Sprint(l.VTEP.Local, start, try))
	case !ok:
		start = ipam.Start(s, l.VTEP.Local.String())
	}
	a, err := ipam.Pick(s, start, taken)
	if err != nil {
		return a, err
	}
	if c.next == nil {
		c.next = make(map[string]netip.Addr)
	}
	c.next[id] = a.Next()
	return a, nil
}

// lost returns those of a claim's addresses that somebody else has a better right to.
func (c *claims) lost(who claimant) (map[netip.Addr]error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bind, l, _, err := c.findLocked(who)
	if err != nil {
		return nil, err
	}
	others := c.holdersLocked(l, c.parts[bind].cluster.Snapshot(), who.container)
	lost := make(map[netip.Addr]error)
	for _, a := range c.held[who].addrs {
		if h, held := others[a]; held && h.beats(l.VTEP.Local) {
			lost[a] = inUse(l, a, h)
		}
	}
	return lost, nil
}

// drop gives a claim back.
func (c *claims) drop(who claimant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cl, held := c.held[who]
	if !held {
		return
	}
	delete(c.held, who)
	_ = c.tellLocked(cl.bind) // the next turn tells again
}

func whose(r agentapi.Assignment) claimant { return claimant{r.Network, r.Container} }
