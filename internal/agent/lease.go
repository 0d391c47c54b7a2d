package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/network"
)

const (
	// findOthers is how long the first container waits for other hosts to be found. Seeds
	// may be dead, and somebody is the first.
	findOthers = time.Second
	// hearOthers is how long it then waits for what those have. It comes within
	// milliseconds, and where packets were lost within half a second.
	hearOthers = 500 * time.Millisecond
	// objection is how long others may object to a claim. A host that claims has told
	// the others within d, 20 ms (gossip sends no more often) and the way of a packet. Whoever
	// claims the same without knowing does so within d, and is heard within 2d.
	objection = 50 * time.Millisecond
	// introduction is the same for a while after a host was found: others may not know it yet, nor
	// it them, and hear of each other's claims by way of a third, which takes up to a quarter of a second.
	introduction = 500 * time.Millisecond
	acquaintance = 2 * time.Second
	// maxTries bounds how often a claim is lost to others. Each time at least one other
	// host gets what it wanted.
	maxTries = 8
)

// assign answers which addresses a container gets. It does not hold up the loop, but for
// the turn by which the agent comes to know the container and has its cluster started.
func (a *Agent) assign(ctx context.Context, r *agentapi.AssignRequest) agentapi.Response {
	if r == nil {
		return agentapi.Response{Error: "assign: for whom is missing"}
	}
	turned := a.syncFor(ctx, r.Network, "")
	addrs, err := a.claims.assign(ctx, *r, a.Driver.ProbeAddresses)
	if err == nil {
		return agentapi.Response{Addrs: addrs, Warning: a.lonely(*r)}
	}
	if turned != nil {
		err = fmt.Errorf("%w (%w)", err, turned)
	}
	return response(err)
}

// lonely warns of a host that may be one of several which do not hear each other. With a key
// it is the first, or its seeds are down, as its log says.
func (a *Agent) lonely(r agentapi.AssignRequest) string {
	cluster, _, err := a.claims.look(whose(r))
	if err != nil || len(a.Config.Keys) > 0 || cluster.Stats().Members > 1 {
		return ""
	}
	return "no other host is heard. Without a key_file in /etc/vxlan/vxland.toml hosts hear only those in their own remote_ips and seeds, so each must list all"
}

// asker asks the wire who has addresses that a container is to get.
type asker func(hoststate.Network, network.Endpoint, []netip.Addr) (map[netip.Addr]error, error)

func (c *claims) assign(ctx context.Context, r agentapi.AssignRequest, ask asker) ([]netip.Addr, error) {
	cluster, have, err := c.look(whose(r))
	if err != nil || len(have) > 0 {
		return have, err
	}
	if err := cluster.meetOthers(ctx); err != nil {
		return nil, err
	}
	addrs, err := c.settle(ctx, r, ask)
	if err != nil {
		c.drop(whose(r))
	}
	return addrs, err
}

// settle claims until nobody objects, and nobody answers whom the agents do not know.
func (c *claims) settle(ctx context.Context, r agentapi.AssignRequest, ask asker) ([]netip.Addr, error) {
	keep, avoid := r.Wanted, []netip.Addr(nil)
	for try := range maxTries {
		addrs, err := c.claim(whose(r), keep, avoid, try)
		if err != nil {
			return nil, err
		}
		lost, err := c.hear(ctx, whose(r), addrs, ask)
		if err != nil || len(lost) == 0 {
			return addrs, err
		}
		for _, w := range r.Wanted {
			if lost[w] != nil {
				return nil, lost[w]
			}
		}
		keep = nil
		for _, a := range addrs {
			if lost[a] == nil {
				keep = append(keep, a)
			} else {
				avoid = append(avoid, a)
			}
		}
	}
	return nil, fmt.Errorf("others had or were quicker to get %d addresses in a row; try again", maxTries)
}

// hear returns which addresses of a claim others have, or a better right to. The wire is
// asked while the others may object.
func (c *claims) hear(ctx context.Context, who claimant, addrs []netip.Addr, ask asker) (map[netip.Addr]error, error) {
	began := time.Now()
	c.mu.Lock()
	bind, l, r, err := c.findLocked(who)
	cluster := c.parts[bind].cluster
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	answered, err := ask(l, r.Endpoint, addrs)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, time.Until(began.Add(cluster.objection()))); err != nil {
		return nil, err
	}
	lost, err := c.lost(who)
	for a, why := range answered {
		if lost[a] == nil && lost != nil {
			lost[a] = why
		}
	}
	return lost, err
}

// objection is how long others may object.
func (r *running) objection() time.Duration {
	joined := r.joined.Load()
	if joined != nil && time.Since(*joined) < acquaintance || r.seeded.Load() && time.Since(r.since) < acquaintance {
		return introduction
	}
	return objection
}

// meetOthers waits until the cluster knows what the other hosts have, or for long enough.
func (r *running) meetOthers(ctx context.Context) error {
	patience := time.After(findOthers)
	select {
	case <-r.Ready():
	case <-patience:
		// It is not connected because nobody answers; or because it cannot be.
		if err := r.failure(); err != nil {
			return fmt.Errorf("talk to other hosts: %w", err)
		}
		return nil
	case <-ctx.Done():
		return errEnding
	}
	// Seeds that refuse may be about to start, as after a power cut.
	for r.seeded.Load() && r.Stats().Members < 2 && time.Since(r.since) < findOthers {
		if err := pause(ctx, findOthers/100); err != nil {
			return err
		}
	}
	patience = time.After(hearOthers)
	for {
		changed := r.Changed()
		if r.knowsAll() {
			return nil
		}
		select {
		case <-changed:
		case <-patience:
			return nil
		case <-ctx.Done():
			return errEnding
		}
	}
}

// knowsAll tells whether all members have said what they have.
func (r *running) knowsAll() bool {
	known := 1 // this one
	for _, h := range r.Snapshot().Hosts {
		if h.Reachable() {
			known++
		}
	}
	return known >= r.Stats().Members
}

var errEnding = errors.New("it is about to end")

// pause waits, and fails if ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return errEnding
	}
}
