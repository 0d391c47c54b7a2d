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
	for signs := 0; ctx.Err() == nil; signs++ {
		wait := p.cfg.Lease / signsPerLease
		if signs%signsPerLease == 0 {
			written = "" // it is looked at once in the time of a lease
		}
		err := p.signOfLife(ctx, client, &written)
		if err == nil && written != "" {
			err = p.renewUses(ctx, client)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			wait = presenceRetry
		}
		if errors.Is(err, errRestored) {
			err = nil
		}
		p.noteResult("presence of this host", err)
		if err == nil {
			p.saveMark(signs%signsPerLease == 0)
		}
		select {
		case <-time.After(wait):
		case <-p.wakePresence:
			written = "" // somebody has changed it, or this is the first Set
		case <-ctx.Done():
		}
	}
}

// signOfLife prolongs this host's lease, or gets one, and writes its presence.
func (p *Plane) signOfLife(ctx context.Context, client *clientv3.Client, written *string) error {
	ctx, cancel := context.WithTimeout(ctx, p.signTimeout())
	defer cancel()
	p.mu.Lock()
	lease, isSet, leaving := p.lease, p.isSet, p.leaving
	p.mu.Unlock()
	if !isSet || leaving { // nothing is published before the first Set
		_, err := p.readPresence(ctx, client)
		return err
	}
	if lease != clientv3.NoLease {
		alive, err := client.KeepAliveOnce(ctx, lease)
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound):
			lease = clientv3.NoLease
		case err != nil:
			return err
		default:
			p.noteAnswer(alive.ResponseHeader)
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
	value := record.Encode(record.Presence{Name: p.cfg.HostName(), Instance: p.cfg.Instance})
	if *written == value {
		return nil
	}
	p.published.RLock() // a host that leaves must not come back
	defer p.published.RUnlock()
	if p.isLeaving() {
		return nil
	}
	isWritten, err := p.writePresence(ctx, client, value, lease)
	if isWritten {
		*written = value
	}
	return err
}

// signTimeout is how long a sign of life waits for an answer. Until there was one a container may wait to know whether
// etcd is there, and then for its claim to fail.
func (p *Plane) signTimeout() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.contact.last.IsZero() {
		return p.cfg.RequestTimeout / 3
	}
	return p.cfg.RequestTimeout
}

// writePresence writes this host's presence, unless it is there, or another host has this one's ID. Of such
// hosts the first one stays.
func (p *Plane) writePresence(ctx context.Context, client *clientv3.Client, value string,
	lease clientv3.LeaseID) (isWritten bool, err error) {
	resp, err := p.readPresence(ctx, client)
	if err != nil {
		return false, err
	}
	key, revision := p.keys.Presence(p.cfg.HostID), int64(0)
	for _, kv := range resp.Kvs {
		if string(kv.Value) == value && kv.Lease == int64(lease) {
			p.noteTwin("")
			return true, nil
		}
		if text := p.describeTwin(kv.Value); text != "" {
			p.noteTwin(text)
			return false, nil
		}
		revision = kv.ModRevision
	}
	put, err := client.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
		Then(clientv3.OpPut(key, value, clientv3.WithLease(lease))).Commit()
	switch {
	case err != nil:
		return false, err
	case !put.Succeeded:
		wake(p.wakePresence) // somebody was faster
		return false, nil
	}
	p.noteAnswer(put.Header)
	p.noteTwin("")
	return true, nil
}

func (p *Plane) isLeaving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving
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
	if p.recoveryLocked() > 0 {
		warnings = append(warnings, "etcd was restored from an older state: hosts write anew what they have, and no new "+
			"container gets an address for a minute")
	}
	return append(warnings, slices.Sorted(maps.Values(p.contest))...)
}
