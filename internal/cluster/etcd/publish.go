package etcd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/record"
)

const (
	// inheritedFor is longer than a plugin takes to record the addresses that the agent before this one
	// had claimed for it (addrclaim.claimTimeout). Until then nobody else gets them.
	inheritedFor = 2 * time.Minute
	// publishInterval is how often it is looked for what has become possible by time alone.
	publishInterval = 5 * time.Second
	// changesAtOnce is how many containers' changes are under way at once. Each waits for the servers' disks, and
	// containers that start at once should not wait for each other.
	changesAtOnce = 8
)

// keepPublished keeps etcd in step with what this host has.
func (p *Plane) keepPublished(ctx context.Context, client *clientv3.Client) {
	pause, verified := firstPause, boottime.Now()
	for ctx.Err() == nil {
		wait := min(publishInterval, p.cfg.verifyInterval)
		var err error
		if boottime.Since(verified) >= p.cfg.verifyInterval && p.mayPublish() {
			err, verified = p.verifyAddresses(ctx, client), boottime.Now()
		}
		if err == nil {
			err = p.publish(ctx, client)
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errNotMember) || errors.Is(err, errRestored) {
			err = nil // what this host knows of its keys is old, and will be told anew
			wait = firstPause
		}
		p.noteResult("keys of this host", err)
		if err != nil {
			wait, pause = pause, min(2*pause, maxPause)
		} else {
			pause = firstPause
		}
		select {
		case <-time.After(wait):
		case <-p.wakePublisher:
		case <-ctx.Done():
		}
	}
}

// publish makes the changes that are missing.
func (p *Plane) publish(ctx context.Context, client *clientv3.Client) error {
	p.published.RLock()
	defer p.published.RUnlock()
	p.mu.Lock()
	isSet, leaving, leftRead := p.isSet, p.leaving, p.leftRead
	p.mu.Unlock()
	if !isSet || leaving || !p.mayPublish() {
		return nil
	}
	if !leftRead {
		if err := p.readLeft(ctx, client); err != nil {
			return err
		}
	}
	err := makeChanges(p.missingChanges(), func(c change) error { return p.makeChange(ctx, client, c) })
	if err != nil {
		return err
	}
	return p.removeLeft(ctx, client)
}

// makeChanges makes changes: first those of the host's own part in networks, which its containers need, and then those
// of containers, some at once. When etcd does not answer it begins no more.
func makeChanges(changes []change, makeOne func(change) error) error {
	isHost := func(c change) bool { return c.container == "" }
	isContainer := func(c change) bool { return !isHost(c) }
	portions := slices.Collect(slices.Chunk(slices.DeleteFunc(slices.Clone(changes), isContainer), 1))
	portions = slices.AppendSeq(portions, slices.Chunk(slices.DeleteFunc(changes, isHost), changesAtOnce))
	var all []error
	for _, some := range portions {
		errs := make([]error, len(some))
		var underWay sync.WaitGroup
		for i, c := range some {
			underWay.Go(func() { errs[i] = makeOne(c) })
		}
		underWay.Wait()
		if all = append(all, errs...); slices.ContainsFunc(errs, isTransient) {
			break
		}
	}
	return errors.Join(all...)
}

// readLeft finds out of which networks this host has keys.
func (p *Plane) readLeft(ctx context.Context, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.RequestTimeout)
	defer cancel()
	resp, err := client.Get(ctx, p.keys.AllNetworksOf(p.cfg.HostID), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, kv := range resp.Kvs {
		if n, ok := p.keys.ParseNetworkOf(p.cfg.HostID, string(kv.Key)); ok {
			p.left[n] = true
		}
	}
	p.leftRead = true
	p.notifyLocked()
	return nil
}

// removeLeft takes this host out of networks that it does not have any more.
func (p *Plane) removeLeft(ctx context.Context, client *clientv3.Client) error {
	p.mu.Lock()
	var gone []cluster.NetworkKey
	for n := range p.left {
		if _, wanted := p.wanted[n]; !wanted {
			gone = append(gone, n)
		}
	}
	for n := range p.networks { // nothing may have been written of it
		if _, wanted := p.wanted[n]; !wanted && !p.left[n] {
			p.dropNetworkLocked(n)
		}
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.RequestTimeout)
	defer cancel()
	for _, n := range gone {
		if err := p.removeFromNetwork(ctx, client, n, p.cfg.HostID); err != nil {
			return err
		}
		p.mu.Lock()
		delete(p.left, n)
		if _, wanted := p.wanted[n]; !wanted {
			p.dropNetworkLocked(n)
		} else if v := p.networks[n]; v != nil {
			v.own = make(map[string]ownRecord) // it is wanted again, and all is to be looked at
			wake(p.wakePublisher)
		}
		p.notifyLocked()
		p.mu.Unlock()
	}
	return nil
}

// dropNetworkLocked forgets a network that this host does not have any more.
func (p *Plane) dropNetworkLocked(n cluster.NetworkKey) {
	delete(p.networks, n)
	maps.DeleteFunc(p.contest, func(k recordKey, _ string) bool { return k.network == n })
	p.refreshAllLocked()
	wake(p.wakeFollower)
}

// missingChanges returns what etcd lacks of what this host has, and has too much.
func (p *Plane) missingChanges() (changes []change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.missingChangesLocked()
}

func (p *Plane) missingChangesLocked() (changes []change) {
	for _, n := range slices.SortedFunc(maps.Keys(p.wanted), cluster.NetworkKey.Compare) {
		p.left[n] = true // before the first of its keys is written
		m, v := p.wanted[n], p.networks[n]
		part := change{recordKey: recordKey{n, ""}, host: p.cfg.HostID, known: v.own[""],
			value: record.EncodeMembership(p.cfg.HostName(), m), addrs: m.HostAddrs}
		if part.isMissing() {
			changes = append(changes, part)
		}
		wanted := make(map[string]bool)
		for _, e := range p.wantedEndpointsLocked(m) {
			wanted[e.ContainerID] = true
			c := change{recordKey: recordKey{n, e.ContainerID}, host: p.cfg.HostID, known: v.own[e.ContainerID],
				value: record.EncodeEndpoint(e), addrs: e.Addrs}
			if c.isMissing() && !p.isClaimingLocked(c.recordKey) {
				changes = append(changes, c)
			}
		}
		for container, own := range v.own {
			key := recordKey{n, container}
			if container == "" || own.value == "" || wanted[container] || p.isClaimingLocked(key) ||
				v.isInherited(container) {
				continue
			}
			changes = append(changes, change{recordKey: key, host: p.cfg.HostID, known: own})
		}
	}
	return changes
}

func (c change) isMissing() bool { return c.value != c.known.value || !c.known.isVerified }

// isInherited tells whether a container may still get the addresses that an agent before this one claimed.
func (v *networkView) isInherited(container string) bool {
	since, ok := v.inherited[container]
	return ok && boottime.Since(since) < inheritedFor
}

// wantedEndpointsLocked returns the containers of a network, and those that are about to come.
func (p *Plane) wantedEndpointsLocked(m cluster.Membership) []cluster.Endpoint {
	all := slices.Clone(m.Endpoints)
	for key, c := range p.claims {
		if key.network == m.Network && c.granted &&
			!slices.ContainsFunc(m.Endpoints, func(e cluster.Endpoint) bool { return e.ContainerID == key.container }) {
			all = append(all, c.endpoint)
		}
	}
	return all
}

// makeChange makes a change of this host's own keys, and notes how they are then.
func (p *Plane) makeChange(ctx context.Context, client *clientv3.Client, c change) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.RequestTimeout)
	defer cancel()
	done, err := p.commit(ctx, client, c)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.networks[c.network]
	if v == nil {
		return nil
	}
	delete(v.inherited, c.container)
	v.noteChange(c, done)
	delete(p.contest, c.recordKey)
	for a, owner := range done.taken {
		if c.container != "" { // a host takes another address by itself
			p.contest[c.recordKey] = fmt.Sprintf("address %v of the network of VNI %d is that of container %s here, and was "+
				"given to %s meanwhile; start one of them anew", a, c.network.VNI, shortID(c.container),
				p.describeLocked(c.network, owner))
			p.notifyLocked()
		}
	}
	return nil
}
