package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"vxlan-driver/internal/addrclaim"
	"vxlan-driver/internal/membership"
)

// clusterMember is this host in a cluster whose Run is under way.
type clusterMember struct {
	Cluster
	ctx       context.Context // of Run
	since     time.Time
	stop      context.CancelFunc        // ends what StartCluster started
	hasSeeds  atomic.Bool               // there are other hosts to ask
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

// ReportNews sends whenever another host has news, and when it turns out that there is no other
// host.
func (m *clusterMember) ReportNews(ctx context.Context, news chan<- struct{}) {
	ready, members := m.Ready(), 1
	for {
		changed := m.Changed()
		if n := m.Members(); n != members {
			if now := time.Now(); n > members {
				m.peerFound.Store(&now)
			}
			members = n
		}
		select {
		case news <- struct{}{}:
		default:
		}
		select {
		case <-changed:
		case <-ready:
			ready = nil // once
		case <-ctx.Done():
			return
		}
	}
}

// ReportAckRequests sends whenever another host waits for this one to follow its news.
func (m *clusterMember) ReportAckRequests(ctx context.Context, requested chan<- struct{}) {
	for {
		select {
		case <-m.AckRequested():
		case <-ctx.Done():
			return
		}
		select {
		case requested <- struct{}{}:
		default:
		}
	}
}

// IsReady tells whether the cluster is connected, or has found that there is nobody to connect to.
func (m *clusterMember) IsReady() bool {
	select {
	case <-m.Ready():
		return true
	default:
		return false
	}
}

// Members counts the hosts of the cluster, this one included.
func (m *clusterMember) Members() int { return m.Stats().Members }

// PeerFoundWithin tells whether a host was found within the last d, or this one was started with
// seeds to ask.
func (m *clusterMember) PeerFoundWithin(d time.Duration) bool {
	found := m.peerFound.Load()
	return found != nil && time.Since(*found) < d || m.hasSeeds.Load() && time.Since(m.since) < d
}

// UnconfirmedPeers returns those recorded peers that no host has mentioned since the agent started.
// Their agents may be down too, so where there is no static list they stay as long as any
// unreachable host.
func (m *clusterMember) UnconfirmedPeers(recorded []netip.Addr) []netip.Addr {
	if m.confirmed == nil {
		m.confirmed = make(map[netip.Addr]bool)
	}
	unconfirmed := slices.DeleteFunc(slices.Clone(recorded), func(peer netip.Addr) bool { return m.confirmed[peer] })
	if len(unconfirmed) == 0 {
		return nil
	}
	known := membership.KnownAddresses(m.Snapshot())
	return slices.DeleteFunc(unconfirmed, func(peer netip.Addr) bool {
		if known[peer] {
			m.confirmed[peer] = true
		}
		return known[peer]
	})
}

const (
	// findPeersTimeout is how long the first container waits for other hosts to be found. Seeds may
	// be down, and some host is the first.
	findPeersTimeout = time.Second
	// peerRecordsTimeout is how long it then waits for those hosts' records. They come within
	// milliseconds, and where packets were lost within half a second.
	peerRecordsTimeout = 500 * time.Millisecond
)

// WaitForPeers waits until the cluster knows what the other hosts have, or for long enough.
func (m *clusterMember) WaitForPeers(ctx context.Context) error {
	timeout := time.After(findPeersTimeout)
	select {
	case <-m.Ready():
	case <-timeout:
		// Either nobody answers, or the cluster cannot run.
		if err := m.runErr.Load(); err != nil {
			return fmt.Errorf("talk to other hosts: %w", *err)
		}
		return nil
	case <-ctx.Done():
		return addrclaim.ErrShuttingDown
	}
	// Seeds that refuse may be about to start, as after a power cut.
	for m.hasSeeds.Load() && m.Members() < 2 && time.Since(m.since) < findPeersTimeout {
		select {
		case <-time.After(findPeersTimeout / 100):
		case <-ctx.Done():
			return addrclaim.ErrShuttingDown
		}
	}
	return m.waitForRecords(ctx)
}

// waitForRecords waits until all hosts of the cluster have said what they have.
func (m *clusterMember) waitForRecords(ctx context.Context) error {
	timeout := time.After(peerRecordsTimeout)
	for {
		changed := m.Changed()
		if m.hasAllRecords() {
			return nil
		}
		select {
		case <-changed:
		case <-timeout:
			return nil
		case <-ctx.Done():
			return addrclaim.ErrShuttingDown
		}
	}
}

func (m *clusterMember) hasAllRecords() bool {
	records := 1 // this host's
	for _, h := range m.Snapshot().Hosts {
		if h.Reachable() {
			records++
		}
	}
	return records >= m.Members()
}
