package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
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
	locals  []hoststate.Network
	told    []cluster.Membership // of it, without claims
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
func pending(n network.Network, r *store.Record) bool { return n.AgentPicks() && len(r.Addrs) == 0 }

// announce tells a cluster what this host has, claims included, and drops those that have
// become endpoints, or whose container is gone.
func (c *claims) announce(bind netip.Addr, p part) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parts == nil {
		c.parts = make(map[netip.Addr]part)
	}
	c.parts[bind] = p
	for who, cl := range c.held {
		if cl.bind != bind {
			continue
		}
		l, r, ok := find(p.locals, who)
		if !ok || !pending(l.Network, r) || time.Since(cl.since) > claimTimeout {
			delete(c.held, who)
		}
	}
	return c.tellLocked(bind)
}

func (c *claims) tellLocked(bind netip.Addr) error {
	p := c.parts[bind]
	all := slices.Clone(p.told)
	for _, l := range p.locals {
		i := slices.IndexFunc(all, func(a cluster.Membership) bool { return a.Network == key(l) })
		for who, cl := range c.held {
			if i >= 0 && who.network == l.ID {
				all[i].Endpoints = append(slices.Clip(all[i].Endpoints), cluster.Endpoint{ContainerID: who.container, Addrs: cl.addrs})
			}
		}
	}
	if err := p.cluster.Set(all); err != nil {
		return fmt.Errorf("cluster of %v: %w", bind, err)
	}
	return nil
}

// find returns a container that is in the store.
func find(locals []hoststate.Network, who claimant) (hoststate.Network, *store.Record, bool) {
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
	return hoststate.Network{}, nil, false
}

// findLocked also returns the cluster's address.
func (c *claims) findLocked(who claimant) (bind netip.Addr, l hoststate.Network, r *store.Record, err error) {
	for bind, p := range c.parts {
		if l, r, ok := find(p.locals, who); ok {
			return bind, l, r, nil
		}
	}
	return bind, l, r, fmt.Errorf("container %s is not recorded on network %s", who.container, who.network)
}

// look returns the cluster of a container's network, and the addresses that the container
// has already, as when its plugin was killed and it is asked for again.
func (c *claims) look(who claimant) (*running, []netip.Addr, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bind, l, r, err := c.findLocked(who)
	if err != nil {
		return nil, nil, err
	}
	if !l.AgentPicks() {
		return nil, nil, fmt.Errorf("addresses of network %s are not picked by the agent", l.Name)
	}
	return c.parts[bind].cluster, addrs(r), nil
}

// lost returns those of a claim's addresses that somebody else has a better right to.
func (c *claims) lost(who claimant) (map[netip.Addr]error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	bind, l, _, err := c.findLocked(who)
	if err != nil {
		return nil, err
	}
	cl, held := c.held[who]
	if !held {
		return nil, fmt.Errorf("container %s waited for too long", who.container)
	}
	others := c.holdersLocked(l, c.parts[bind].cluster.Snapshot(), who.container)
	lost := make(map[netip.Addr]error)
	for _, a := range cl.addrs {
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

func whose(r agentapi.AssignRequest) claimant { return claimant{r.Network, r.Container} }
