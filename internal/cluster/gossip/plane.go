package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/guard"
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/replica"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// Plane is a cluster.Plane over gossip.
type Plane struct {
	cfg        Config
	log        *slog.Logger
	refusals   *refusal.Counter
	memberlist *memberlist.Memberlist // set by Run before anything that uses it
	outbox     *outbox
	questions  *questions

	newSeeds     chan struct{}  // has a value when the seeds are others than before
	wakeRejoiner chan struct{}  // has a value when a host is missing
	helloReplies chan struct{}  // has a value when a host has answered that it is there
	joins        sync.WaitGroup // of hosts, under way
	wakeSpreader chan struct{}
	wakeDoubter  chan struct{} // has a value when a host is doubted

	// leaveMu keeps memberlist's Leave and Shutdown apart: a Leave after a Shutdown panics.
	leaveMu sync.Mutex
	ended   bool

	// mu may be taken while memberlist holds its own locks, so no method of memberlist is called
	// under it.
	mu        sync.Mutex
	cancelRun context.CancelFunc
	running   bool
	leaving   bool
	seedsSet  bool             // it is known who the seeds are
	listed    []netip.AddrPort // hosts that networks list
	peers     *peers
	replica   *replica.Replica
	contacts  map[contactKey]cluster.Contact // to the members
	snapshot  cluster.Snapshot
	changed   chan struct{}

	unknownSenders uint64    // messages from them
	asked          bool      // the round that asks the seeds is over
	aloneSince     time.Time // when the last member was lost; zero: there is one, or never was
	spreadRounds   int       // to go
	strays         strays
	claimPeers     claimPeers
}

var (
	_ cluster.Plane     = (*Plane)(nil)
	_ cluster.Claimer   = (*Plane)(nil)
	_ cluster.Confirmer = (*Plane)(nil)
	_ cluster.Forgetter = (*Plane)(nil)
	_ cluster.Asker     = (*Plane)(nil)

	_ cluster.ContactReporter = (*Plane)(nil)
)

// Carries is what gossip carries: everything.
var Carries = cluster.Capabilities{Members: true, ExactForwarding: true, Owners: true, Names: true}

// New returns a Plane; Run starts it.
func New(c Config) (*Plane, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	p := &Plane{
		cfg:          c,
		log:          c.Log,
		refusals:     refusal.NewCounter(c.Log),
		outbox:       newOutbox(c.maxPacket(), c.Log),
		questions:    newQuestions(),
		newSeeds:     make(chan struct{}, 1),
		wakeRejoiner: make(chan struct{}, 1),
		helloReplies: make(chan struct{}, 1),
		wakeSpreader: make(chan struct{}, 1),
		wakeDoubter:  make(chan struct{}, 1),
		peers:        newPeers(c.Bind),
		contacts:     make(map[contactKey]cluster.Contact),
		changed:      make(chan struct{}),
		strays:       strays{pauses: make(map[wire.Key]strayPause)},
		claimPeers:   newClaimPeers(),
	}
	p.replica = replica.New(replica.Config{
		Self: c.key(), Name: c.Host.Name, Limits: c.limits, ForgetAfter: c.ForgetAfter,
		Permits: p.peers.permits, Refusals: p.refusals, Network: replicaNetwork{p},
		NewRecord: c.newRecord, Share: c.shareRecord,
	})
	p.snapshot = p.replica.Snapshot()
	p.peers.setSeeds(c.Seeds)
	p.restrictSendersLocked()
	p.seedsSet = len(c.Seeds) > 0
	return p, nil
}

// String names the plane for logs.
func (p *Plane) String() string {
	return fmt.Sprintf("gossip of %s at %v", p.cfg.Host.Name(), p.cfg.Bind)
}

// Set announces this host's memberships, which must not be changed afterwards. The listed hosts are
// seeds, besides Config.Seeds: one that answers is enough. Without keys, messages are accepted only
// from these and from Config.Allowed.
func (p *Plane) Set(local cluster.Local) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listed = local.Listed
	if p.peers.setSeeds(slices.Concat(p.cfg.Seeds, local.Listed)) || !p.seedsSet {
		p.seedsSet = true
		p.restrictSendersLocked()
		wakeLoop(p.newSeeds)
	}
	err := p.replica.Set(local.Memberships)
	p.claimPeers.forgetNetworks(p.replica.IsOnItself)
	if err != nil {
		return fmt.Errorf("announce this host: %w", err)
	}
	return nil
}

// restrictSendersLocked makes the seeds and Config.Allowed the only hosts that may speak, where
// there is no key.
func (p *Plane) restrictSendersLocked() {
	if !p.cfg.hasKeys() {
		p.peers.allowOnlySeedsAnd(p.cfg.Allowed)
	}
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

// updateSnapshotLocked makes a new snapshot. Its memberships are shared with the replica, which
// replaces and never changes them.
func (p *Plane) updateSnapshotLocked() {
	p.snapshot = p.replica.Snapshot()
	p.notifyLocked()
}

// notifyLocked tells those who wait for Changed.
func (p *Plane) notifyLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// ForgetHost takes a host that is gone for good out of the cluster, on all hosts: what it had is
// free. It refuses a host that is reachable. If the host is back one day, it announces itself anew.
func (p *Plane) ForgetHost(host cluster.Host) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, known := p.replica.Find(host.ID, host.Addr)
	switch {
	case !known:
		return fmt.Errorf("host %s is not known", host.Label())
	case p.peers.isMember(key):
		return fmt.Errorf("host %s answers", host.Label())
	}
	if p.replica.ForgetHost(key, boottime.Now()) {
		p.updateSnapshotLocked()
	}
	delete(p.peers.lost, key)
	p.log.Warn("host forgotten by command", "event", "host-forgotten", "host", host.Label(), "id", key.ID)
	return nil
}

// leaveCopies is how many members get the news of the leave over a stream too, so that one of them
// can pass it on to those who miss the packet.
const leaveCopies = 3

// Leave takes this host out of the cluster: the others forget it at once. Run returns afterwards.
func (p *Plane) Leave(ctx context.Context) error {
	p.mu.Lock()
	stop, running := p.cancelRun, p.running
	p.leaving = true
	if !running {
		p.mu.Unlock()
		return nil
	}
	data := p.replica.Leave()
	var copies []memberlist.Node
	for _, m := range p.peers.members {
		if len(copies) < leaveCopies {
			copies = append(copies, m)
		}
	}
	p.mu.Unlock()
	defer stop()
	p.cfg.Host.endsToTalk(p.cfg.Bind)
	var sent sync.WaitGroup
	for _, m := range copies {
		sent.Go(func() { p.outbox.sendStream(envelope{m, data}) })
	}
	sent.Wait()
	wait := guard.StreamTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(time.Millisecond, time.Until(deadline))
	}
	p.leaveMu.Lock()
	defer p.leaveMu.Unlock()
	if p.ended {
		return nil // its last message was sent, as far as it reached somebody
	}
	if err := p.memberlist.Leave(wait); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}

// Stats counts what happened since the Plane was made.
type Stats struct {
	replica.Stats
	UnknownSenders uint64 // messages of hosts that are not members (yet)
	Sent           uint64 // messages of our own, in packets and streams
	SentBytes      uint64 // in them
	Dropped        uint64 // messages of our own that were not sent, as too many waited

	Members int // reachable hosts, this one included
	Hosts   int // other hosts whose entries are known, unreachable ones included
}

// Stats returns the counters.
func (p *Plane) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	stats := Stats{Stats: p.replica.Stats(), UnknownSenders: p.unknownSenders}
	p.outbox.countInto(&stats)
	stats.Members = len(p.peers.members)
	if p.running {
		stats.Members++
	}
	stats.Hosts = len(p.snapshot.Hosts)
	return stats
}
