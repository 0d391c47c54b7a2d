package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"vxlan-driver/internal/addrclaim"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
)

// clusterMember is this host in a cluster whose Run is under way.
type clusterMember struct {
	cluster.Plane
	ctx       context.Context // of Run
	since     time.Time
	stop      context.CancelFunc // ends what StartCluster started
	listed    atomic.Pointer[[]netip.AddrPort]
	peerFound atomic.Pointer[time.Time] // when the last host was found
	runErr    atomic.Pointer[error]     // why it does not run
	// confirmed are recorded peers that some host has mentioned since the agent started.
	confirmed map[netip.Addr]bool
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
	_ = m.Leave(ctx) // its address is gone; others drop the record by what the new one says
}

// ReportNews sends whenever there is news of other hosts, or of the plane's health.
func (m *clusterMember) ReportNews(ctx context.Context, news chan<- struct{}) {
	found := 0
	for {
		changed := m.Changed()
		if n := countReachable(m.Snapshot()); n != found {
			if now := time.Now(); n > found {
				m.peerFound.Store(&now)
			}
			found = n
		}
		select {
		case news <- struct{}{}:
		default:
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

func countReachable(s cluster.Snapshot) (n int) {
	for _, h := range s.Hosts {
		if h.Reachable() {
			n++
		}
	}
	return n
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
	local := cluster.Local{Memberships: memberships}
	if listed := m.listed.Load(); listed != nil {
		local.Listed = *listed
	}
	return m.Set(local)
}

// PeerFoundWithin tells whether a host was found within the last d, or this one was started with
// hosts to ask.
func (m *clusterMember) PeerFoundWithin(d time.Duration) bool {
	found := m.peerFound.Load()
	return found != nil && time.Since(*found) < d || m.hasListed() && time.Since(m.since) < d
}

// hasListed tells whether there are hosts to ask.
func (m *clusterMember) hasListed() bool {
	listed := m.listed.Load()
	return listed != nil && len(*listed) > 0
}

// UnconfirmedPeers returns those recorded peers that no host has mentioned since the agent started.
// Their agents may be down too, so where there is no static list they stay as long as any
// unreachable host.
func (m *clusterMember) UnconfirmedPeers(recorded []netip.Addr) []netip.Addr {
	if m.confirmed == nil {
		m.confirmed = make(map[netip.Addr]bool)
	}
	known := membership.KnownAddresses(m.Snapshot())
	var unconfirmed []netip.Addr
	for _, peer := range recorded {
		if known[peer] {
			m.confirmed[peer] = true
		}
		if !m.confirmed[peer] {
			unconfirmed = append(unconfirmed, peer)
		}
	}
	return unconfirmed
}

const (
	// findPeersTimeout is how long the first container waits for other hosts to be found. Those that
	// are listed may be down, and some host is the first.
	findPeersTimeout = time.Second
	// syncTimeout is how long it then waits until it is known what those hosts have.
	syncTimeout = 500 * time.Millisecond
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
	health := m.Health()
	switch {
	case health.Synced && health.Alone && m.hasListed():
		// Hosts that do not answer may be about to start, as after a power cut.
		return findPeersTimeout - time.Since(m.since)
	case health.Synced:
		return 0
	case health.Alone:
		return findPeersTimeout - time.Since(began)
	}
	return findPeersTimeout + syncTimeout - time.Since(began)
}
