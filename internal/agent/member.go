package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"vxlan-driver/internal/addrclaim"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
)

// clusterMember is this host in a cluster whose Run is under way.
type clusterMember struct {
	cluster.Plane
	kind   cluster.Kind
	ctx    context.Context    // of Run
	since  time.Time          // it runs
	born   time.Time          // the same, by package boottime
	stop   context.CancelFunc // ends what StartCluster started
	unused time.Time          // since when no network talks by its address; zero: one does
	listed atomic.Pointer[[]netip.AddrPort]
	runErr atomic.Pointer[error] // why it does not run
	// heard are recorded peers that some host has mentioned since the agent started.
	heard map[netip.Addr]bool
	// allHeard are recorded peers that are all in heard. They are asked for in each turn.
	allHeard []netip.Addr
}

// KeepRunning runs the cluster until ctx is done or this host has left.
func (m *clusterMember) KeepRunning(ctx context.Context, log *slog.Logger) {
	lastErr := "" // an error that lasts is logged once
	for ctx.Err() == nil {
		m.runErr.Store(nil)
		err := m.Run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			return // it has left
		}
		m.runErr.Store(&err)
		if err.Error() != lastErr {
			lastErr = err.Error()
			log.Error("cannot talk to other hosts; retrying", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryInterval):
		}
	}
}

// leaveAndStop takes the host out of the cluster, as far as it still reaches somebody, and ends it.
func (m *clusterMember) leaveAndStop() {
	defer m.stop()
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	_ = m.Leave(ctx) // its address is gone; the plane of the new one takes the record out
}

// ReportNews sends whenever there is news of other hosts, or of the plane's health. While nobody receives,
// further news wake nobody.
func (m *clusterMember) ReportNews(ctx context.Context, news chan<- struct{}) {
	for {
		changed := m.Changed()
		select {
		case news <- struct{}{}:
		case <-ctx.Done():
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// reportAckRequests sends whenever another host waits for this one to follow its news.
func reportAckRequests(ctx context.Context, c cluster.Confirmer, requested chan<- struct{}) {
	for {
		select {
		case <-c.AckRequested():
		case <-ctx.Done():
			return
		}
		select {
		case requested <- struct{}{}:
		default:
		}
	}
}

// SetMemberships publishes what this host has.
func (m *clusterMember) SetMemberships(memberships []cluster.Membership) error {
	return m.Set(cluster.Local{Memberships: memberships, Listed: m.Listed()})
}

// SetListed sets the hosts that networks list, which are published with the next memberships.
func (m *clusterMember) SetListed(hosts []netip.AddrPort) { m.listed.Store(&hosts) }

// Listed returns what SetListed has set.
func (m *clusterMember) Listed() []netip.AddrPort {
	if hosts := m.listed.Load(); hosts != nil {
		return *hosts
	}
	return nil
}

// Claim reserves addresses, if the plane can.
func (m *clusterMember) Claim(ctx context.Context, network cluster.NetworkKey, containerID string,
	addrs []netip.Addr) (map[netip.Addr]cluster.Holder, error) {
	c, ok := m.Plane.(cluster.Claimer)
	if !ok {
		return nil, errors.New("claim addresses: this control plane cannot; create the network with remote_ips, without " +
			"discovery=gossip")
	}
	return c.Claim(ctx, network, containerID, addrs)
}

// Release ends a claim.
func (m *clusterMember) Release(network cluster.NetworkKey, containerID string) {
	if c, ok := m.Plane.(cluster.Claimer); ok {
		c.Release(network, containerID)
	}
}

// UnheardPeers returns those recorded peers that no host has mentioned since the agent started. Their
// agents may be down too, so where there is no static list they stay as long as any unreachable host.
func (m *clusterMember) UnheardPeers(recorded []netip.Addr) []netip.Addr {
	if len(recorded) == 0 || slices.Equal(recorded, m.allHeard) {
		return nil
	}
	if m.heard == nil {
		m.heard = make(map[netip.Addr]bool)
	}
	isHeard := func(peer netip.Addr) bool { return m.heard[peer] }
	first := slices.IndexFunc(recorded, func(peer netip.Addr) bool { return !isHeard(peer) })
	if first < 0 {
		m.allHeard = recorded
		return nil
	}
	unheard := slices.DeleteFunc(slices.Clone(recorded[first:]), isHeard)
	known := membership.KnownAddresses(m.Snapshot())
	return slices.DeleteFunc(unheard, func(peer netip.Addr) bool {
		if known[peer] {
			m.heard[peer] = true
		}
		return known[peer]
	})
}

const (
	// syncTimeout is how long the first container waits until it is known what the other hosts have.
	// It is longer than a plane takes: where many packets are lost, gossip needs seconds.
	syncTimeout = 7 * time.Second
	// notRunningTimeout is how long it waits if the plane cannot run, or its servers do not answer.
	notRunningTimeout = time.Second
)

// WaitForPeers waits until the plane knows what the other hosts have, or for long enough.
func (m *clusterMember) WaitForPeers(ctx context.Context) error {
	for began := time.Now(); ; {
		changed, wait := m.Changed(), m.syncWait(began)
		if wait <= 0 {
			break
		}
		timer := time.NewTimer(wait)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			return addrclaim.ErrShuttingDown
		}
		timer.Stop()
	}
	if err := m.runErr.Load(); err != nil && !m.Health().Synced {
		return fmt.Errorf("talk to other hosts: %w", *err)
	}
	return nil
}

// syncWait returns for how much longer somebody waits for the other hosts who began then.
func (m *clusterMember) syncWait(began time.Time) time.Duration {
	switch health := m.Health(); {
	case health.Synced:
		return 0
	case m.runErr.Load() != nil, m.kind.HasServers && health.Alone:
		return notRunningTimeout - time.Since(began)
	}
	return syncTimeout - time.Since(began)
}
