package etcd

import (
	"context"
	"errors"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/boottime"
)

// Each change of etcd has a revision, which is one more than that of the change before. Every answer has the
// newest one.

// progress is how far a follower has come.
type progress struct {
	revision   int64     // of etcd, when it said the last thing
	heard      time.Time // when that was, by package boottime
	isWatching bool      // etcd says what changes
}

// note notes that etcd has said something, which was applied. The caller holds the plane's lock.
func (p *progress) note(revision int64) {
	p.revision, p.heard = max(p.revision, revision), boottime.Now()
}

// quietTime is after what time without a word a watch counts as having said everything. etcd sends changes
// within milliseconds, and those of other networks not at all.
const quietTime = time.Second

// beginWatch notes that a follower follows, and how to make it begin anew.
func (p *Plane) beginWatch(f *follower, again context.CancelFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watches[f] = again
}

func (p *Plane) endWatch(f *follower) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f.progress.isWatching = false
	delete(p.watches, f)
}

// progressLocked returns up to which revision of etcd this host knows all of its networks, and by how many
// revisions that may be behind what etcd has said last. Changes of other keys count too: what they were of
// is not known.
func (p *Plane) progressLocked() (revision, behind int64) {
	revision = p.newest.Revision
	for f := range p.followers {
		if !f.progress.isWatching || p.contact.isLost || boottime.Since(f.progress.heard) < quietTime {
			revision = min(revision, f.progress.revision)
		}
	}
	return revision, p.newest.Revision - revision
}

// newestMark is that of the latest answer.
func (p *Plane) newestMark() mark {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.newest
}

// errRestored is of a request that an etcd answered that is older than it was.
var errRestored = errors.New("etcd was restored from an older state, and hosts write anew what they have; " +
	"try again in a minute")

// noteLatest notes an answer that has to be newer than everything that was known before the request. It
// tells whether etcd is older, or another one: then somebody has restored a backup.
func (p *Plane) noteLatest(before mark, h *pb.ResponseHeader) (isRestored bool) {
	if !before.isOlderIn(h) {
		p.noteAnswer(h)
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newest.Revision < before.Revision || p.newest.Cluster != before.Cluster {
		return true // another request has noticed it
	}
	p.log.Error("etcd was restored from an older state; writing anew what this host has", "known", before.Revision,
		"revision", h.Revision, "known_cluster", before.Cluster, "cluster", h.ClusterId)
	p.newest, p.restored = mark{Cluster: h.ClusterId, Revision: h.Revision}, boottime.Now()
	p.restores++
	for _, v := range p.networks {
		v.own = make(map[string]ownRecord)
	}
	p.leftRead = false // older keys may be back
	for _, again := range p.watches {
		again()
	}
	wake(p.wakePresence)
	wake(p.wakePublisher)
	p.notifyLocked()
	return true
}

// recoveryLocked tells how long nobody gets an address after a restore. Each agent looks once within a lease
// whether etcd was restored, and then writes what its host has. Meanwhile its addresses may look free.
func (p *Plane) recoveryLocked() time.Duration {
	if p.restored.IsZero() {
		return 0
	}
	return max(0, 2*p.cfg.Lease-boottime.Since(p.restored))
}

// readPresence reads this host's presence as it is now on most servers. By the answer it is known whether
// etcd was restored.
func (p *Plane) readPresence(ctx context.Context, client *clientv3.Client) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.RequestTimeout)
	defer cancel()
	before := p.newestMark()
	resp, err := client.Get(ctx, p.keys.Presence(p.cfg.HostID))
	if err != nil {
		return nil, err
	}
	if p.noteLatest(before, resp.Header) {
		return nil, errRestored
	}
	return resp, nil
}
