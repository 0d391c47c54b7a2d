package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/config"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// gracePeriod is how long an agent that starts trusts what the one before it recorded, rather than
// its own ignorance. A host that is found takes milliseconds; one that is unreachable is passed on
// by others within seconds.
const gracePeriod = 10 * time.Second

// planeKinds are the kinds of control planes that an agent may have at once.
type planeKinds struct {
	hosts   cluster.Kind // of networks whose hosts talk to each other
	servers cluster.Kind // of networks with discovery=etcd; one plane serves all
}

// clusterSet is the clusters that this host is a member of, one for each local address that its
// networks' hosts talk by, and with the zero address the one whose hosts talk to servers. Only the
// loop uses it; Lookup and All are for everybody.
type clusterSet struct {
	config config.Config
	kinds  planeKinds
	log    *slog.Logger
	// answer answers what other hosts ask.
	answer func(context.Context, []byte) ([]byte, error)

	mu      sync.RWMutex                  // of writes, which only the loop does, of Lookup and All
	members map[netip.Addr]*clusterMember // by local address
	own     netip.Addr                    // by which this host talks also without a network; invalid: none

	listed map[netip.Addr]listedHosts // that listedHosts returned last, by local address
	unions map[string]*cluster.Union  // of the networks that move from one plane to another, by ID

	news         chan struct{}  // another host has news
	ackRequested chan struct{}  // another host waits for this one to follow its news
	wg           sync.WaitGroup // of the members' goroutines
}

func newClusterSet(c config.Config, kinds planeKinds, log *slog.Logger) *clusterSet {
	return &clusterSet{
		config: c, kinds: kinds, log: log,
		members: make(map[netip.Addr]*clusterMember), listed: make(map[netip.Addr]listedHosts),
		unions: make(map[string]*cluster.Union),
		news:   make(chan struct{}, 1), ackRequested: make(chan struct{}, 1),
	}
}

// bindAddr is the address by which the hosts of a network talk, given the network's VTEP. It is zero
// where one plane serves all networks.
func (s *clusterSet) bindAddr(d network.Discovery, vtep netip.Addr) netip.Addr {
	switch {
	case d == network.DiscoveryEtcd || !s.kinds.hosts.PerAddress:
		return netip.Addr{}
	case s.config.Bind.IsValid():
		return s.config.Bind
	}
	return vtep
}

// kindOf returns of which kind the plane of an address is.
func (s *clusterSet) kindOf(bind netip.Addr) cluster.Kind {
	if !bind.IsValid() && s.kinds.hosts.PerAddress {
		return s.kinds.servers
	}
	return s.kinds.hosts
}

// nameOf names the plane of an address for people.
func (s *clusterSet) nameOf(bind netip.Addr) string {
	if !bind.IsValid() {
		return s.kindOf(bind).Name
	}
	return bind.String()
}

// bindAddrs are the addresses of a network's planes: one, or two while it moves from one to another. The
// one that it is to stay with comes first.
func (s *clusterSet) bindAddrs(n network.Network, vtep netip.Addr) (addrs []netip.Addr) {
	for _, d := range n.Planes() {
		if bind := s.bindAddr(d, vtep); !slices.Contains(addrs, bind) {
			addrs = append(addrs, bind)
		}
	}
	return addrs
}

// MemberOf returns the cluster of a network's hosts, or nil before it is started.
func (s *clusterSet) MemberOf(n membership.Network) *clusterMember {
	return s.members[s.bindAddr(n.Discovery, n.VTEP.Local)]
}

// IsSynced tells whether it is known what the other hosts of a network have.
func (s *clusterSet) IsSynced(n membership.Network) bool {
	for _, bind := range s.bindAddrs(n.Network, n.VTEP.Local) {
		if m := s.members[bind]; m == nil || !m.Health().Synced {
			return false
		}
	}
	return true
}

// Own returns the address by which this host talks also without a network, or an invalid one.
func (s *clusterSet) Own() netip.Addr {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.own
}

// SetOwn sets that address.
func (s *clusterSet) SetOwn(addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.own = addr
}

// GroupByCluster returns the networks that need an agent, by the address of their cluster. The
// host's own cluster is there also without one.
func (s *clusterSet) GroupByCluster(networks []hoststate.Network) map[netip.Addr][]hoststate.Network {
	groups := make(map[netip.Addr][]hoststate.Network)
	if own := s.Own(); own.IsValid() {
		groups[own] = nil
	}
	for _, n := range networks {
		if n.NeedsAgent() {
			for _, bind := range s.bindAddrs(n.Network, n.VTEP.Local) {
				groups[bind] = append(groups[bind], n)
			}
		}
	}
	return groups
}

// StartCluster starts the cluster of an address, unless it is there. It is kept until
// StopAbandoned: Run is retried when the cluster cannot listen, as while the address is missing.
func (s *clusterSet) StartCluster(ctx context.Context, bind netip.Addr) error {
	if s.members[bind] != nil {
		return nil
	}
	kind := s.kindOf(bind)
	c, err := kind.New(bind)
	if err != nil {
		return fmt.Errorf("cluster of %s: %w", s.nameOf(bind), err)
	}
	if c, ok := c.(cluster.Asker); ok {
		c.AnswerWith(s.answer)
	}
	ctx, stop := context.WithCancel(ctx)
	m := &clusterMember{Plane: c, kind: kind, ctx: ctx, since: time.Now(), born: boottime.Now(), stop: stop}
	s.mu.Lock()
	s.members[bind] = m
	s.mu.Unlock()
	s.wg.Go(func() { m.KeepRunning(ctx, s.log.With("address", bind)) })
	s.wg.Go(func() { m.ReportNews(ctx, s.news) })
	if c, ok := c.(cluster.Confirmer); ok {
		s.wg.Go(func() { reportAckRequests(ctx, c, s.ackRequested) })
	}
	return nil
}

// StopAbandoned stops the clusters of addresses that no network talks by any more: at once if this
// host no longer has the address, else after idleTimeout. Until then the network's last container
// may only be restarting, and the others would forget this host and find it again.
func (s *clusterSet) StopAbandoned(inUse func(netip.Addr) bool,
	isLocal func(netip.Addr) (bool, error)) (stopped []netip.Addr, err error) {
	var errs []error
	for bind, m := range s.members {
		if !bind.IsValid() || inUse(bind) {
			m.unused = time.Time{}
			continue
		}
		if m.unused.IsZero() {
			m.unused = time.Now()
		}
		why := "no network uses the address any more"
		if time.Since(m.unused) < idleTimeout {
			local, err := isLocal(bind)
			if err != nil {
				errs = append(errs, fmt.Errorf("look for address %v: %w", bind, err))
			}
			if local || err != nil {
				continue
			}
			why = "this host has lost the address"
		}
		s.log.Info("this host no longer talks to other hosts by an address", "address", bind, "why", why)
		s.mu.Lock()
		delete(s.members, bind)
		s.mu.Unlock()
		stopped = append(stopped, bind)
		s.wg.Go(func() { m.leaveAndStop() })
	}
	return stopped, errors.Join(errs...)
}

// NextStop returns after what time StopAbandoned has a cluster to stop, if it has.
func (s *clusterSet) NextStop() (after time.Duration, pending bool) {
	for _, m := range s.members {
		if m.unused.IsZero() {
			continue
		}
		if left := time.Until(m.unused.Add(idleTimeout)); !pending || left < after {
			after, pending = max(0, left), true
		}
	}
	return after, pending
}

// Lookup returns the cluster of an address, or nil.
func (s *clusterSet) Lookup(bind netip.Addr) *clusterMember {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.members[bind]
}

// All returns the clusters, in the order of their addresses.
func (s *clusterSet) All() (all []*clusterMember) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, bind := range slices.SortedFunc(maps.Keys(s.members), netip.Addr.Compare) {
		all = append(all, s.members[bind])
	}
	return all
}

// ByAddress returns all clusters.
func (s *clusterSet) ByAddress() map[netip.Addr]*clusterMember {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.members)
}

// Snapshots returns what all clusters know.
func (s *clusterSet) Snapshots() map[*clusterMember]cluster.Snapshot {
	snapshots := make(map[*clusterMember]cluster.Snapshot, len(s.members))
	for _, m := range s.members {
		snapshots[m] = m.Snapshot()
	}
	return snapshots
}

// listedHosts are the hosts that networks list.
type listedHosts struct {
	from  []listOfHosts
	hosts []netip.AddrPort
}

// listOfHosts is what one network lists.
type listOfHosts struct{ remotes, found, own []netip.Addr }

func (l listOfHosts) equal(o listOfHosts) bool {
	return slices.Equal(l.remotes, o.remotes) && slices.Equal(l.found, o.found) && slices.Equal(l.own, o.own)
}

// listedHosts returns the hosts that the networks of a local address list. As long as the networks list the
// same, the result is the same.
func (s *clusterSet) listedHosts(bind netip.Addr, networks []hoststate.Network) []netip.AddrPort {
	var from []listOfHosts
	for _, n := range networks {
		// Where hosts find each other, Network.Remotes are seeds and VTEP.Remotes were found.
		from = append(from, listOfHosts{n.Network.Remotes, n.VTEP.Remotes, append([]netip.Addr{n.VTEP.Local}, n.VTEP.Own...)})
	}
	if before, ok := s.listed[bind]; ok && slices.EqualFunc(from, before.from, listOfHosts.equal) {
		return before.hosts
	}
	var hosts []netip.AddrPort
	seen := make(map[netip.Addr]bool)
	for _, l := range from {
		for _, r := range slices.Concat(l.remotes, l.found) {
			if !slices.Contains(l.own, r) && !seen[r] {
				seen[r] = true
				hosts = append(hosts, netip.AddrPortFrom(r, s.config.Port))
			}
		}
	}
	s.listed[bind] = listedHosts{from, hosts}
	return hosts
}

// InGracePeriod tells whether a cluster may not know all hosts yet.
func (s *clusterSet) InGracePeriod() bool {
	for _, m := range s.members {
		if time.Since(m.since) < gracePeriod {
			return true
		}
	}
	return false
}

// LeaveForGood takes this host out of all clusters, and does not wait for the agent's end. The
// clusters are not started again before the agent is.
func (s *clusterSet) LeaveForGood(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaveForGoodTimeout)
	defer cancel()
	members := s.All()
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() { errs[i] = m.Leave(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// leaveForGoodTimeout is longer than it takes to tell other hosts.
const leaveForGoodTimeout = 5 * time.Second

// LeaveAll takes this host out of all clusters.
func (s *clusterSet) LeaveAll(ctx context.Context) {
	var wg sync.WaitGroup
	for bind, m := range s.members {
		wg.Go(func() {
			if err := m.Leave(ctx); err != nil {
				s.log.Warn("cannot tell other hosts that this one leaves", "address", bind, "err", err)
			}
		})
	}
	wg.Wait()
}
