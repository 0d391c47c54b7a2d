package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster"
)

// Source is a cluster.Source over gossip.
type Source struct {
	cfg      Config
	counters *counters
	log      *slog.Logger
	ml       *memberlist.Memberlist // set by Run before anything that uses it
	queue    *memberlist.TransmitLimitedQueue
	count    atomic.Int64 // of members, for queue, which asks under its own lock

	ready     chan struct{}
	readyOnce sync.Once
	publish   chan struct{} // wakes the publisher
	send      chan struct{} // wakes the sender
	seek      chan struct{} // wakes the rejoiner
	streams   chan struct{} // one token a stream that is being sent

	// mu may be taken while memberlist holds its own locks, so no method of
	// memberlist is called under it.
	mu       sync.Mutex
	stop     context.CancelFunc // of Run
	running  bool
	leaving  bool
	seeds    []netip.AddrPort
	allowed  map[netip.Addr]bool // nil: all, as they have the key
	members  map[string]memberlist.Node
	lostAddr map[string]netip.AddrPort // of hosts that were members, to find them again

	wanted  []cluster.Membership // what Set said
	size    int                  // of that on the wire
	isSet   bool
	dirty   bool    // own is not what is wanted, or not above seen
	own     record  // as published; without a version before that
	seen    version // the newest of this host's records that others hold
	table   *table
	asked   map[string]ask
	shown   cluster.Snapshot
	changed chan struct{}
	outbox  []envelope
	// strangers sent messages of ours and are not members: news that did not get
	// here, or hosts that know of this one from before it was started anew.
	strangers map[netip.AddrPort]bool
}

// envelope is a message on its way to a member.
type envelope struct {
	to   memberlist.Node
	data []byte
}

var _ cluster.Plane = (*Source)(nil)

// New returns a Source; Run starts it.
func New(c Config) (*Source, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	s := &Source{
		cfg:      c,
		counters: newCounters(c.Log),
		log:      c.Log,
		ready:    make(chan struct{}),
		publish:  make(chan struct{}, 1),
		send:     make(chan struct{}, 1),
		seek:     make(chan struct{}, 1),
		streams:  make(chan struct{}, maxSending),
		members:  make(map[string]memberlist.Node),
		lostAddr: make(map[string]netip.AddrPort),
		table:    newTable(c.ForgetAfter),
		asked:    make(map[string]ask),
		changed:  make(chan struct{}),

		strangers: make(map[netip.AddrPort]bool),
	}
	// Each member that has a new record passes its digest on to one random
	// member (times log10 of their number, rounded up): as the record goes to all
	// of them anyway, this is for the few that missed it.
	s.queue = &memberlist.TransmitLimitedQueue{RetransmitMult: 1, NumNodes: func() int { return int(s.count.Load()) }}
	s.SetSeeds(c.Seeds)
	return s, nil
}

// String names the source for logs.
func (s *Source) String() string { return fmt.Sprintf("gossip of %s at %v", s.cfg.Name, s.cfg.Bind) }

// Ready is closed when the source listens and has found another host, or has
// tried all seeds once.
func (s *Source) Ready() <-chan struct{} { return s.ready }

// Stats returns the counters.
func (s *Source) Stats() Stats {
	stats := s.counters.get()
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Members = len(s.members)
	if s.running {
		stats.Members++
	}
	stats.Hosts = len(s.shown.Hosts)
	return stats
}

// SetSeeds says by which hosts to find the others, one is enough; it may be
// repeated. Without keys these, and Config.Allowed, are also the only hosts that
// are heard.
func (s *Source) SetSeeds(seeds []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seeds = slices.Clone(seeds)
	if len(s.cfg.Keys) == 0 {
		s.allowed = map[netip.Addr]bool{s.cfg.Bind.Addr(): true}
		for _, seed := range seeds {
			s.allowed[seed.Addr()] = true
		}
		for _, addr := range s.cfg.Allowed {
			s.allowed[addr] = true
		}
	}
	wake(s.seek)
}

// permits tells whether a host with the address is heard at all.
func (s *Source) permits(addr netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.permitsLocked(addr)
}

func (s *Source) permitsLocked(addr netip.Addr) bool { return s.allowed == nil || s.allowed[addr] }

// Set says what this host has. What is passed in must not be changed afterwards.
func (s *Source) Set(local []cluster.Membership) error {
	attachments, err := cluster.Canonical(local)
	if err != nil {
		return fmt.Errorf("set local attachments: %w", err)
	}
	var w writer
	w.content(false, attachments)
	if len(w.buf) > maxRecord {
		return fmt.Errorf("set local attachments: %d bytes, at most %d are allowed", len(w.buf), maxRecord)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted, s.size, s.isSet, s.dirty = attachments, len(w.buf), true, true
	wake(s.publish)
	return nil
}

// Snapshot returns what the other hosts have.
func (s *Source) Snapshot() cluster.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown
}

// Changed returns a channel that is closed at the next change of Snapshot.
func (s *Source) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// showLocked makes a new snapshot. The attachments in it are shared with the
// table, which replaces and never changes them.
func (s *Source) showLocked() {
	s.shown = s.table.snapshot()
	for i, h := range s.shown.Hosts {
		addr := s.lostAddr[h.Name]
		if m, ok := s.members[h.Name]; ok {
			addr = addrOfNode(m)
		}
		s.shown.Hosts[i].Addr = addr.Addr()
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// wake makes a loop run once more; several wakes before it does are one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits, and tells whether ctx is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
