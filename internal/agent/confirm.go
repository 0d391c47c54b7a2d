package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
)

// confirmTimeout bounds how long the start of a host's first container on a network waits for the
// other hosts. An idle host follows within 10 ms, a busy one within some 200 ms. What is to be
// saved is a second: a question for a MAC that is lost is asked again after that.
const confirmTimeout = 500 * time.Millisecond

// confirmer makes other hosts know of this one before its first container on a network runs. They
// flood only to hosts that they know to have a container. Requests use it at any time.
type confirmer struct {
	clusters *clusterSet
	log      *slog.Logger
	// adopted tells that the networks of the agent before this one were taken over, once in the
	// agent's life.
	adopted bool

	mu       sync.Mutex
	networks map[string]chan struct{} // by joinedNetwork.name; closed once other hosts know of this one
}

// Begin makes the other hosts of a network follow what this host has published, unless they do. A
// cluster that has just been started knows none of them. It is asked again once addresses were
// claimed, which waits for it. Without claims there are listed hosts, and these flood to a host of
// which they have not heard.
func (c *confirmer) Begin(n joinedNetwork) {
	m, plane := c.confirmerOf(n)
	if plane == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.networks[n.name()] != nil {
		return
	}
	done := make(chan struct{})
	c.networks[n.name()] = done
	c.clusters.wg.Go(func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(m.ctx, confirmTimeout)
		defer cancel()
		if silent := plane.Confirm(ctx, n.key); len(silent) > 0 && m.ctx.Err() == nil {
			c.log.Info("hosts were slow to follow; a first connection may take a second", "network", n.id, "hosts", silent)
		}
	})
}

// confirmerOf returns the cluster of a network that can tell when the other hosts have followed, if it has
// found them.
func (c *confirmer) confirmerOf(n joinedNetwork) (*clusterMember, cluster.Confirmer) {
	for _, bind := range n.binds {
		m := c.clusters.Lookup(bind)
		if m == nil || !m.Health().Synced {
			continue
		}
		if plane, ok := m.Plane.(cluster.Confirmer); ok {
			return m, plane
		}
	}
	return nil, nil
}

// Wait waits for what Begin began.
func (c *confirmer) Wait(ctx context.Context, networkID string) {
	for _, name := range namesOf(networkID) {
		c.mu.Lock()
		done := c.networks[name]
		c.mu.Unlock()
		if done == nil {
			continue
		}
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
}

// Retain forgets networks that this host has left, so that its next container there waits again. An
// agent that starts takes over what the one before it had settled.
func (c *confirmer) Retain(networks []hoststate.Network) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := make(map[string]chan struct{})
	for _, n := range networks {
		for _, name := range namesOf(n.ID) {
			if done := c.networks[name]; done != nil {
				kept[name] = done
			} else if _, hasPeers := n.Peers(); hasPeers && !c.adopted {
				kept[name] = closedChannel
			}
		}
	}
	for id, done := range c.networks {
		select {
		case <-done:
		default:
			kept[id] = done // its first container may not be in the store yet
		}
	}
	c.networks, c.adopted = kept, true
}

var closedChannel = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// joinedNetwork is a network that this host joins.
type joinedNetwork struct {
	id    string
	key   cluster.NetworkKey
	binds []netip.Addr // of its planes
	// encrypted tells that the other hosts have to know by which keys packets come. They may have been told
	// of this host before it had any.
	encrypted bool
}

// name tells apart what the other hosts have to know.
func (n joinedNetwork) name() string {
	names := namesOf(n.id)
	if n.encrypted {
		return names[1]
	}
	return names[0]
}

func namesOf(networkID string) [2]string { return [2]string{networkID, networkID + " encrypted"} }
