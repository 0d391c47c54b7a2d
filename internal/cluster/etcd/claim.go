package etcd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/record"
)

// claim is a claim of this process that was not released.
type claim struct {
	endpoint cluster.Endpoint
	granted  bool // otherwise it is under way, and nothing else touches its record
}

// isClaimingLocked tells whether a claim is under way.
func (p *Plane) isClaimingLocked(key recordKey) bool {
	c := p.claims[key]
	return c != nil && !c.granted
}

// memberPause is how long a claim waits for the publisher to make this host a member.
const memberPause = 20 * time.Millisecond

// Claim reserves addresses for a container in one transaction. So no two containers have one, whatever
// happens to agents or servers.
func (p *Plane) Claim(ctx context.Context, network cluster.NetworkKey, containerID string,
	addrs []netip.Addr) (map[netip.Addr]cluster.Holder, error) {
	p.published.RLock()
	defer p.published.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, p.claimTimeout())
	defer cancel()
	client, err := p.awaitClient(ctx)
	if err != nil {
		return nil, err
	}
	key := recordKey{network, containerID}
	c, err := p.beginClaim(key, addrs)
	if err != nil {
		return nil, err
	}
	taken := p.heldHere(key, addrs)
	if len(taken) == 0 {
		if taken, err = p.claimAsMember(ctx, client, c); err != nil {
			err = p.explain(err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	defer wake(p.wakePublisher)
	if err == nil && p.leaving {
		err = errLeaving
	}
	if err != nil || len(taken) > 0 {
		delete(p.claims, key) // what may have reached etcd nevertheless, the publisher takes back
		if err != nil {
			return nil, fmt.Errorf("claim addresses in etcd: %w", err)
		}
		holders := make(map[netip.Addr]cluster.Holder, len(taken))
		for a, owner := range taken {
			holders[a] = p.holderLocked(network, owner)
		}
		return holders, nil
	}
	if claimed := p.claims[key]; claimed != nil {
		claimed.granted = true
	}
	return nil, nil
}

var errLeaving = errors.New("this host leaves the cluster")

// awaitClient waits until Run runs.
func (p *Plane) awaitClient(ctx context.Context) (*clientv3.Client, error) {
	for {
		p.mu.Lock()
		client, changed := p.client, p.changed
		p.mu.Unlock()
		if client != nil {
			return client, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if problem := p.Health().Problem; problem != "" {
				return nil, errors.New("claim addresses in etcd: " + problem)
			}
			return nil, errors.New("claim addresses in etcd: the agent is not connected; `vxlanctl status` says why")
		}
	}
}

// beginClaim notes that a claim is under way.
func (p *Plane) beginClaim(key recordKey, addrs []netip.Addr) (change, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.networks[key.network]
	switch {
	case p.leaving:
		return change{}, errLeaving
	case v == nil:
		return change{}, fmt.Errorf("claim addresses in etcd: network %v is not this host's", key.network)
	case p.twin != "":
		return change{}, fmt.Errorf("claim addresses in etcd: %s", p.twin)
	case p.recoveryLocked() > 0:
		return change{}, fmt.Errorf("claim addresses in etcd: %w", errRestored)
	}
	e := cluster.Endpoint{ContainerID: key.container, Addrs: addrs, Granted: true}
	if err := e.Check(); err != nil {
		return change{}, fmt.Errorf("claim addresses in etcd: container %q: %w", key.container, err)
	}
	p.claims[key] = &claim{endpoint: e}
	own := v.own[key.container]
	own.isVerified = false
	return change{recordKey: key, host: p.cfg.HostID, value: record.EncodeEndpoint(e), addrs: addrs, all: true,
		known: own}, nil
}

// heldHere returns which addresses other containers of this host have. Mostly etcd knows that too, but not
// after a backup was restored.
func (p *Plane) heldHere(key recordKey, addrs []netip.Addr) map[netip.Addr]record.Owner {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := make(map[netip.Addr]record.Owner)
	for _, e := range p.wantedEndpointsLocked(p.wanted[key.network]) {
		for _, a := range e.Addrs {
			if e.ContainerID != key.container && slices.Contains(addrs, a) {
				taken[a] = record.Owner{Host: p.cfg.HostID.String(), ContainerID: e.ContainerID}
			}
		}
	}
	return taken
}

// claimTimeout is after what time a claim has failed. If etcd has been away for longer than an election takes, there is
// less to hope for, and the caller may have waited until that was known.
func (p *Plane) claimTimeout() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.contact.isLost && boottime.Since(p.contact.last) > p.cfg.RequestTimeout {
		return p.cfg.RequestTimeout / 2
	}
	return p.cfg.RequestTimeout
}

// claimAsMember makes the change once this host is a member of the network.
func (p *Plane) claimAsMember(ctx context.Context, client *clientv3.Client,
	c change) (map[netip.Addr]record.Owner, error) {
	for {
		done, err := p.commit(ctx, client, c)
		if errors.Is(err, errNotMember) {
			wake(p.wakePublisher)
			select {
			case <-time.After(memberPause):
				continue
			case <-ctx.Done():
				return nil, err
			}
		}
		if err != nil || len(done.taken) > 0 {
			return done.taken, err
		}
		p.mu.Lock()
		if v := p.networks[c.network]; v != nil {
			v.noteChange(c, done)
		}
		p.mu.Unlock()
		return nil, nil
	}
}

// Release ends a claim. If the container is not published, etcd gives its addresses to others.
func (p *Plane) Release(network cluster.NetworkKey, containerID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.claims, recordKey{network, containerID})
	wake(p.wakePublisher)
}

// holderLocked returns whose an address is, as far as that is known.
func (p *Plane) holderLocked(n cluster.NetworkKey, owner record.Owner) cluster.Holder {
	id, ok := cluster.ParseHostID(owner.Host)
	holder := cluster.Holder{ContainerID: owner.ContainerID}
	switch {
	case !ok:
		holder.Host = "of an unknown name" // the key is not of this project
		return holder
	case id == p.cfg.HostID:
		return holder
	}
	holder.Host = owner.HostName
	if holder.Host == "" {
		holder.Host = owner.Host
	}
	if h, known := p.shown[id]; known {
		holder.Host, holder.Addr, holder.Unreachable = h.Label(), h.Addr, !h.Reachable()
	}
	v := p.networks[n]
	if v == nil || v.hosts[id] == nil {
		return holder
	}
	if i, ok := v.hosts[id].search(owner.ContainerID); ok {
		e := v.hosts[id].endpoints[i]
		if len(e.Names) > 0 {
			holder.Container = e.Names[0]
		}
		holder.Pending = e.Claimed()
	}
	return holder
}

// describeLocked says for people whose an address is.
func (p *Plane) describeLocked(n cluster.NetworkKey, owner record.Owner) string {
	h := p.holderLocked(n, owner)
	host := "this host"
	if h.Host != "" {
		host = "host " + h.Host
	}
	switch {
	case h.ContainerID == "":
		return host + " itself"
	case h.Container != "":
		return "container " + h.Container + " on " + host
	}
	return "container " + shortID(h.ContainerID) + " on " + host
}

// shortID is how people know a container without a name.
func shortID(id string) string { return id[:min(12, len(id))] }
