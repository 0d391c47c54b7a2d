package etcd

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"vxlan-driver/internal/cluster"
)

const (
	// pageSize is how many keys are read at once. A key takes some 300 bytes.
	pageSize = 2000
	// firstPause and maxPause bound the pause before something that failed is tried again.
	firstPause, maxPause = 100 * time.Millisecond, 2 * time.Second
)

// keyValue is a key as etcd has it. An empty value is that of a key that was deleted.
type keyValue struct {
	key      string
	value    []byte
	revision int64 // of the change
}

// follower follows all keys of a prefix.
type follower struct {
	plane  *Plane
	client *clientv3.Client
	prefix string
	// replace takes all keys, and apply those that have changed since. Both are called with the plane's
	// lock held.
	replace, apply func([]keyValue)
	revision       int64 // up to which everything is known; 0: nothing is
	restores       int   // that were known when all was read
	progress       progress
}

// Run follows until ctx is done. What is known stays while etcd is away.
func (f *follower) Run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil {
		before := f.revision
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if f.revision != before {
			pause = firstPause
		}
		if !isTransient(err) {
			f.plane.noteResult("reading "+f.prefix, err)
		}
		f.plane.log.Debug("following etcd anew", "keys", f.prefix, "err", err)
		sleep(ctx, pause)
		pause = min(2*pause, maxPause)
	}
}

// sleep waits for about as long. Hosts that lost one server do not come back at once.
func sleep(ctx context.Context, pause time.Duration) {
	select {
	case <-time.After(pause/2 + rand.N(pause)):
	case <-ctx.Done():
	}
}

// follow reads what is not known, and follows what changes, until that fails.
func (f *follower) follow(ctx context.Context) error {
	if err := f.forgetIfRestored(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.plane.beginWatch(f, cancel)
	defer f.plane.endWatch(f)
	if f.revision == 0 {
		if err := f.readAll(ctx); err != nil {
			return err
		}
	}
	for resp := range f.client.Watch(ctx, f.prefix, clientv3.WithPrefix(), clientv3.WithRev(f.revision+1),
		clientv3.WithProgressNotify(), clientv3.WithCreatedNotify()) {
		if err := resp.Err(); err != nil {
			if resp.CompactRevision != 0 || errors.Is(err, rpctypes.ErrCompacted) {
				f.revision = 0 // what has changed meanwhile is only to be had by reading all
				return errReadAnew
			}
			return err
		}
		f.plane.noteAnswer(resp.Header)
		var changed []keyValue
		for _, e := range resp.Events {
			kv := keyValue{key: string(e.Kv.Key), revision: e.Kv.ModRevision}
			if e.Type == clientv3.EventTypePut {
				kv.value = e.Kv.Value
			}
			changed = append(changed, kv)
		}
		f.plane.withLock(func() {
			if len(changed) > 0 {
				f.apply(changed)
			}
			f.progress.note(resp.Header.Revision)
			f.progress.isWatching = true
		})
		// The header has the store's revision, which may be ahead of the events that have come.
		if n := len(changed); n > 0 {
			f.revision = changed[n-1].revision
		} else if resp.IsProgressNotify() {
			f.revision = resp.Header.Revision
		}
	}
	return errReadAnew
}

// errReadAnew is of a watch that has ended, as others do.
var errReadAnew = status.Error(codes.Unavailable, "the watch has ended")

// forgetIfRestored forgets what is known if etcd is older than that: somebody restored a backup. Then a
// watch would wait for revisions that are long to come.
func (f *follower) forgetIfRestored(ctx context.Context) error {
	if f.revision == 0 {
		return nil
	}
	if _, err := f.plane.readPresence(ctx, f.client); err != nil && !errors.Is(err, errRestored) {
		return err
	}
	f.plane.withLock(func() {
		if f.restores != f.plane.restores {
			f.revision = 0
		}
	})
	return nil
}

// readAll reads all keys as they were at one revision.
func (f *follower) readAll(ctx context.Context) error {
	var all []keyValue
	var first *pb.ResponseHeader // of the revision that is read
	revision, from := int64(0), f.prefix
	f.plane.withLock(func() { f.restores = f.plane.restores })
	for {
		resp, err := f.readPage(ctx, from, revision)
		if err != nil {
			return err
		}
		if first == nil {
			first, revision = resp.Header, resp.Header.Revision
		}
		for _, kv := range resp.Kvs {
			all = append(all, keyValue{string(kv.Key), kv.Value, kv.ModRevision})
		}
		if !resp.More {
			break
		}
		from = all[len(all)-1].key + "\x00"
	}
	f.plane.noteAnswer(first)
	f.plane.withLock(func() {
		f.replace(all)
		f.progress.note(revision)
	})
	f.revision = revision
	f.plane.noteResult("reading "+f.prefix, nil)
	return nil
}

func (f *follower) readPage(ctx context.Context, from string, revision int64) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, f.plane.cfg.RequestTimeout)
	defer cancel()
	return f.client.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(f.prefix)),
		clientv3.WithLimit(pageSize), clientv3.WithRev(revision),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend))
}

func (p *Plane) withLock(do func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do()
}

// followAll follows who is there, and the networks that this host has.
func (p *Plane) followAll(ctx context.Context, client *clientv3.Client) {
	var followers sync.WaitGroup
	defer followers.Wait()
	startLocked := func(ctx context.Context, prefix string, replace, apply func([]keyValue)) {
		f := &follower{plane: p, client: client, prefix: prefix, replace: replace, apply: apply}
		p.followers[f] = true
		followers.Go(func() {
			f.Run(ctx)
			p.withLock(func() { delete(p.followers, f) })
		})
	}
	p.withLock(func() { startLocked(ctx, p.keys.AllPresence(), p.replacePresenceLocked, p.applyPresenceLocked) })
	stops := make(map[*networkView]context.CancelFunc)
	for ctx.Err() == nil {
		p.withLock(func() {
			for n, v := range p.networks {
				if stops[v] == nil {
					followed, stop := context.WithCancel(ctx)
					stops[v] = stop
					startLocked(followed, p.keys.AllHosts(n), func(all []keyValue) { p.replaceNetworkLocked(n, v, all) },
						func(some []keyValue) { p.applyNetworkLocked(n, v, some) })
				}
			}
			for v, stop := range stops {
				if !p.followsLocked(v) {
					stop()
					delete(stops, v)
				}
			}
		})
		select {
		case <-p.wakeFollower:
		case <-ctx.Done():
		}
	}
	for _, stop := range stops {
		stop()
	}
}

func (p *Plane) followsLocked(v *networkView) bool {
	for _, have := range p.networks {
		if have == v {
			return true
		}
	}
	return false
}

// replacePresenceLocked takes who is there.
func (p *Plane) replacePresenceLocked(all []keyValue) {
	before := p.present
	p.present, p.presentRead = make(map[cluster.HostID]presence), true
	p.applyPresenceLocked(all)
	for host := range before {
		p.refreshHostLocked(host)
	}
	p.refreshAllLocked()
	p.notifyLocked()
}
