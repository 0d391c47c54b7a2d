package etcd

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/cluster/etcd/record"
)

const (
	// presenceRetry is after what time etcd is asked again that did not answer.
	presenceRetry = 500 * time.Millisecond
	// signsPerLease is how many signs of life fit into the time of a lease, so that two may be lost.
	signsPerLease = 3
)

// keepPresence keeps this host's lease alive, and its presence written. It is also by what it is known
// whether etcd answers.
func (p *Plane) keepPresence(ctx context.Context, client *clientv3.Client) {
	written := "" // under the lease
	for ctx.Err() == nil {
		wait := p.cfg.Lease / signsPerLease
		err := p.signOfLife(ctx, client, &written)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = presenceRetry
		default:
			p.noteAnswer()
		}
		p.noteResult("presence of this host", err)
		select {
		case <-time.After(wait):
		case <-p.wakePresence:
			written = "" // somebody has deleted it, or this is the first Set
		case <-ctx.Done():
		}
	}
}

// signOfLife prolongs this host's lease, or gets one, and writes its presence.
func (p *Plane) signOfLife(ctx context.Context, client *clientv3.Client, written *string) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.RequestTimeout)
	defer cancel()
	p.mu.Lock()
	lease, isSet, leaving := p.lease, p.isSet, p.leaving
	p.mu.Unlock()
	if !isSet || leaving { // nothing is published before the first Set
		_, err := client.Get(ctx, p.keys.Presence(p.cfg.HostID), clientv3.WithKeysOnly())
		return err
	}
	if lease != clientv3.NoLease {
		_, err := client.KeepAliveOnce(ctx, lease)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) {
			lease = clientv3.NoLease
		} else if err != nil {
			return err
		}
	}
	if lease == clientv3.NoLease {
		granted, err := client.Grant(ctx, int64((p.cfg.Lease+time.Second-1)/time.Second))
		if err != nil {
			return err
		}
		lease, *written = granted.ID, ""
		p.withLock(func() { p.lease = lease })
	}
	value := record.Encode(record.Presence{Name: p.cfg.HostName()})
	if *written == value {
		return nil
	}
	p.published.RLock() // a host that leaves must not come back
	defer p.published.RUnlock()
	if p.isLeaving() {
		return nil
	}
	_, err := client.Put(ctx, p.keys.Presence(p.cfg.HostID), value, clientv3.WithLease(lease))
	if err == nil {
		*written = value
	}
	return err
}

func (p *Plane) isLeaving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving
}

// checkAuth finds out once whether etcd lets everybody change everything.
func (p *Plane) checkAuth(ctx context.Context, client *clientv3.Client) {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		asked, cancel := context.WithTimeout(ctx, p.cfg.RequestTimeout)
		// Servers before 3.5 cannot be asked. If authentication is on, they say something else to a user
		// whom they do not know.
		_, err := client.Auth.Authenticate(asked, "vxlan-authentication-probe", "none")
		cancel()
		if off := errors.Is(err, rpctypes.ErrAuthNotEnabled); off || errors.Is(err, rpctypes.ErrAuthFailed) {
			p.withLock(func() {
				p.authOff = off
				p.notifyLocked()
			})
			return
		}
		sleep(ctx, pause)
	}
}

// warningsLocked says for people what is wrong besides.
func (p *Plane) warningsLocked() (warnings []string) {
	if p.authOff {
		warnings = append(warnings, "etcd's authentication is off: whoever reaches it may change what hosts tell each "+
			"other; give it users and roles, as docs/user/etcd.md says")
	}
	if !p.cfg.usesTLS() {
		warnings = append(warnings, "the connection to etcd is not encrypted: whoever is on the way may change what "+
			"hosts tell each other; give the servers certificates, and write https:// in [etcd] endpoints")
	}
	return append(warnings, slices.Sorted(maps.Values(p.contest))...)
}
