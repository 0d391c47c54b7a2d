package etcd

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/etcd/record"
)

// Plane is a cluster.Plane over etcd.
type Plane struct {
	cfg  Config
	log  *slog.Logger
	keys record.Keys

	wakePublisher chan struct{} // has a value when this host's keys may have to change
	wakeFollower  chan struct{} // has a value when this host has other networks
	wakePresence  chan struct{} // has a value when this host's presence is to be written

	mu        sync.Mutex
	client    *clientv3.Client // nil while Run does not run
	cancelRun context.CancelFunc
	published sync.RWMutex // is held while this host's keys are changed; by Leave alone for writing
	leaving   bool
	lease     clientv3.LeaseID

	usesRenewed clientv3.LeaseID // under which renewUses was done

	isSet    bool // Set was called
	wanted   map[cluster.NetworkKey]cluster.Membership
	claims   map[recordKey]*claim
	networks map[cluster.NetworkKey]*networkView
	left     map[cluster.NetworkKey]bool // of which this host has keys; what is not wanted is to be taken out
	leftRead bool                        // it is known of which
	contest  map[recordKey]string        // what another has of this host's addresses, for people

	present     map[cluster.HostID]record.Presence
	presentRead bool
	lost        map[cluster.HostID]time.Time // hosts with keys that are not there, by package boottime
	shown       map[cluster.HostID]cluster.Host
	snapshot    cluster.Snapshot
	contact     contact
	newest      mark      // what etcd has told
	marked      mark      // what the host's file has
	restored    time.Time // when it was noticed last that etcd is older than it was, by package boottime; zero: never
	restores    int       // how often that was
	followers   map[*follower]bool
	watches     map[*follower]context.CancelFunc // of the followers that follow; to begin anew
	refusals    map[string]string                // what etcd refuses this host, by what was asked for; for people
	authOff     bool                             // etcd lets everybody change everything
	isThere     bool                             // this host's presence was written, and is still its own
	twin        string                           // which other host has this one's ID, for people; "": none
	changed     chan struct{}
}

var (
	_ cluster.Plane     = (*Plane)(nil)
	_ cluster.Claimer   = (*Plane)(nil)
	_ cluster.Forgetter = (*Plane)(nil)
)

// New returns a Plane; Run starts it.
func New(c Config) (*Plane, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Plane{
		cfg: c, log: c.Log, keys: record.NewKeys(c.Prefix),
		wakePublisher: make(chan struct{}, 1), wakeFollower: make(chan struct{}, 1), wakePresence: make(chan struct{}, 1),
		wanted: make(map[cluster.NetworkKey]cluster.Membership), claims: make(map[recordKey]*claim),
		networks: make(map[cluster.NetworkKey]*networkView), left: make(map[cluster.NetworkKey]bool),
		contest: make(map[recordKey]string), present: make(map[cluster.HostID]record.Presence),
		lost: make(map[cluster.HostID]time.Time), shown: make(map[cluster.HostID]cluster.Host),
		refusals: make(map[string]string), followers: make(map[*follower]bool),
		watches: make(map[*follower]context.CancelFunc), snapshot: cluster.Snapshot{Self: c.HostID},
		changed: make(chan struct{}),
	}, nil
}

// String names the plane for logs.
func (p *Plane) String() string { return "etcd at " + p.cfg.servers() }

// wake makes a loop look again.
func wake(loop chan struct{}) {
	select {
	case loop <- struct{}{}:
	default:
	}
}

// Set publishes what this host has, which must not be changed afterwards. It returns before etcd has it.
func (p *Plane) Set(local cluster.Local) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	wasAnnounced := func(n cluster.NetworkKey, containerID string) bool {
		v := p.networks[n]
		return v != nil && v.own[containerID].value != ""
	}
	fit, err := cluster.Fit(local.Memberships, wasAnnounced, cluster.MaxEndpoints)
	wanted := make(map[cluster.NetworkKey]cluster.Membership, len(fit))
	for _, m := range fit {
		wanted[m.Network] = m
	}
	if !p.isSet {
		wake(p.wakePresence)
	}
	p.wanted, p.isSet = wanted, true
	for n := range wanted {
		if p.networks[n] == nil {
			p.networks[n] = newNetworkView()
		}
	}
	wake(p.wakeFollower)
	wake(p.wakePublisher)
	if err != nil {
		return fmt.Errorf("announce this host: %w", err)
	}
	return nil
}

// Snapshot returns the other hosts' memberships.
func (p *Plane) Snapshot() cluster.Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.snapshot
}

// Changed returns a channel that is closed at the next change of Snapshot or Health.
func (p *Plane) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// notifyLocked tells those who wait for Changed.
func (p *Plane) notifyLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Run works until ctx is done or this host has left. That etcd is away is no error.
func (p *Plane) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	p.loadMark()
	defer p.endMark()
	client := p.connect(ctx)
	if client == nil {
		return nil
	}
	defer client.Close()
	p.mu.Lock()
	if p.leaving {
		p.mu.Unlock()
		return nil
	}
	p.client, p.cancelRun = client, cancel
	p.notifyLocked() // who claims may wait for it
	p.mu.Unlock()
	var loops sync.WaitGroup
	loops.Go(func() { p.keepPresence(ctx, client) })
	loops.Go(func() { p.watchAuth(ctx, client) })
	loops.Go(func() { p.followAll(ctx, client) })
	loops.Go(func() { p.keepPublished(ctx, client) })
	loops.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client, p.lease = nil, clientv3.NoLease
	return nil
}

// connect returns a client, as soon as its files can be read and etcd takes its user; nil: ctx is done.
func (p *Plane) connect(ctx context.Context) *clientv3.Client {
	for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, maxPause) {
		client, err := p.cfg.connect()
		p.noteResult("connection", err)
		if err == nil {
			return client
		}
		sleep(ctx, pause)
	}
	return nil
}

// leavePause is how often it is looked whether what is under way has ended.
const leavePause = 5 * time.Millisecond

// Leave takes this host out of the cluster: all its keys are deleted, and Run returns.
func (p *Plane) Leave(ctx context.Context) error {
	p.mu.Lock()
	client, stop, twin := p.client, p.cancelRun, p.twin
	p.leaving = true
	p.wanted, p.claims = make(map[cluster.NetworkKey]cluster.Membership), make(map[recordKey]*claim)
	networks := maps.Clone(p.left)
	for n := range p.networks {
		networks[n] = true
	}
	p.mu.Unlock()
	if client == nil {
		return nil
	}
	defer stop()
	if twin != "" {
		return nil // all keys are the other host's
	}
	// While etcd is away, what is under way may take longer than this may. None of it begins anew.
	for !p.published.TryLock() {
		select {
		case <-time.After(leavePause):
		case <-ctx.Done():
			return fmt.Errorf("leave: %w", ctx.Err())
		}
	}
	defer p.published.Unlock()
	for n := range networks {
		if err := p.removeFromNetwork(ctx, client, n, p.cfg.HostID); err != nil {
			return fmt.Errorf("leave: %w", p.explain(err))
		}
	}
	if _, err := client.Delete(ctx, p.keys.Presence(p.cfg.HostID)); err != nil {
		return fmt.Errorf("leave: %w", p.explain(err))
	}
	return nil
}

// Health tells how far this host knows what the others have.
func (p *Plane) Health() cluster.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := cluster.Health{Synced: p.isSyncedLocked()}
	h.Revision, h.RevisionsBehind = p.progressLocked()
	if p.contact.isLost {
		h.Alone, h.StaleSince = true, p.contact.last
	}
	h.Problem, h.Warnings = p.problemLocked(), p.warningsLocked()
	return h
}

// problemLocked says what keeps this host from using etcd.
func (p *Plane) problemLocked() string {
	switch {
	case p.contact.isLost:
		return "etcd does not answer: " + p.contact.reason + "; check the servers, and [etcd] in /etc/vxlan/vxland.toml"
	case p.twin != "":
		return p.twin
	case len(p.refusals) > 0:
		return "this host cannot use etcd: " + slices.Sorted(maps.Values(p.refusals))[0]
	}
	return ""
}

// isSyncedLocked tells whether all of this host's networks were read, and what it had left behind is
// taken out.
func (p *Plane) isSyncedLocked() bool {
	if !p.isSet || !p.presentRead || !p.leftRead {
		return false
	}
	for n := range p.wanted {
		if !p.networks[n].isRead {
			return false
		}
	}
	for n := range p.left {
		if _, ok := p.wanted[n]; !ok && p.networks[n] == nil {
			return false
		}
	}
	return true
}

// contact is this host's contact to etcd.
type contact struct {
	last   time.Time // of an answer, by package boottime; zero: there was none
	isLost bool
	reason string // why
}

// noteAnswer notes that etcd has answered, and how new it is.
func (p *Plane) noteAnswer(h *pb.ResponseHeader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = mark{Cluster: cmp.Or(p.newest.Cluster, h.ClusterId), Revision: max(p.newest.Revision, h.Revision)}
	wasLost := p.contact.isLost
	p.contact = contact{last: boottime.Now()}
	if wasLost {
		known, behind := p.progressLocked()
		p.log.Info("etcd answers again", "revision", known, "behind", behind)
		wake(p.wakePublisher)
		p.notifyLocked()
	}
}

// noteResult notes how a request has ended, and tells so if that is news.
func (p *Plane) noteResult(asked string, err error) {
	if err != nil && isTransient(err) {
		p.noteLost(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.refusals[asked]
	if delete(p.refusals, asked); err != nil {
		p.refusals[asked] = p.explain(err).Error()
	}
	if p.refusals[asked] == before {
		return
	}
	if err != nil {
		p.log.Error("this host cannot use etcd", "asked", asked, "err", p.refusals[asked])
	}
	p.notifyLocked()
}

// noteLost notes that etcd has not answered.
func (p *Plane) noteLost(err error) {
	reason := p.explain(err).Error()
	p.mu.Lock()
	defer p.mu.Unlock()
	wasLost := p.contact.isLost
	p.contact.isLost, p.contact.reason = true, reason
	if !wasLost {
		known, _ := p.progressLocked()
		p.log.Warn("etcd does not answer; what runs goes on, and new containers do not start", "err", reason,
			"revision", known)
		p.notifyLocked()
	}
}
