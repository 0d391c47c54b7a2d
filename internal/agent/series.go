package agent

import (
	"context"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/kernel"
)

const (
	// seriesFrames is how many frames show what part of them is lost: with 100 more where
	// one is lost, doctor misses a loss of 5 % in one of 70 times, of 3 % in one of six, and of 2 % in
	// half of them.
	seriesFrames = 100
	// seriesPeers is how many hosts of a network get a series at once. An agent reads 800 frames in a
	// second: these hosts' answers, and as many series of others.
	seriesPeers = 3
	// maxSeriesPeers bounds how long somebody waits who looks for a fault. Of more hosts those come
	// first of which frames were lost lately.
	maxSeriesPeers = 9
)

// frameSeries is what became of frames that were sent one after the other, when somebody last looked
// for a fault.
type frameSeries struct {
	at          time.Time // by package boottime; zero: never
	full, small kernel.FrameSeries
}

// report returns what the status shows, nil if there was no series.
func (s frameSeries) report(now time.Time) *agentapi.SeriesStatus {
	if s.at.IsZero() {
		return nil
	}
	return &agentapi.SeriesStatus{
		Full: agentapi.SeriesCount(s.full), Small: agentapi.SeriesCount(s.small), Age: now.Sub(s.at),
	}
}

// seriesRun is series to all networks, which several may wait for.
type seriesRun struct {
	ended chan struct{}
	whole bool // nobody interrupted it; is valid once it has ended
}

// sendSeries sends series of frames to some hosts of each network. Who asks while series are under way
// waits for those: other hosts answer only so many frames in a second, so more would seem to be lost.
// If the one who sends them is interrupted, the next one begins anew.
func (p *tunnelProber) sendSeries(ctx context.Context) {
	for ctx.Err() == nil {
		run, isOwn := p.joinSeries()
		if isOwn {
			p.sendSeriesToNetworks(ctx)
			p.endSeries(run, ctx.Err() == nil)
			return
		}
		select {
		case <-run.ended:
			if run.whole {
				return
			}
		case <-ctx.Done():
		}
	}
}

// joinSeries returns the series that are under way. If there are none, they are the caller's own.
func (p *tunnelProber) joinSeries() (run *seriesRun, isOwn bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seriesUnderWay != nil {
		return p.seriesUnderWay, false
	}
	p.seriesUnderWay = &seriesRun{ended: make(chan struct{})}
	return p.seriesUnderWay, true
}

func (p *tunnelProber) endSeries(run *seriesRun, whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seriesUnderWay, run.whole = nil, whole
	close(run.ended)
}

func (p *tunnelProber) sendSeriesToNetworks(ctx context.Context) {
	var networks sync.WaitGroup
	for _, n := range p.snapshotOfNetworks() {
		networks.Go(func() {
			tokens := make(chan struct{}, seriesPeers)
			var series sync.WaitGroup
			for _, mac := range p.seriesPeersOf(n) {
				tokens <- struct{}{}
				series.Go(func() {
					defer func() { <-tokens }()
					p.measureSeries(ctx, n, mac)
				})
			}
			series.Wait()
		})
	}
	networks.Wait()
}

func (p *tunnelProber) snapshotOfNetworks() (all []*probedNetwork) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.networks {
		all = append(all, n)
	}
	return all
}

// seriesPeersOf returns which hosts get a series: those to which something was lost, and of the
// others as many as there is time for.
func (p *tunnelProber) seriesPeersOf(n *probedNetwork) (chosen []kernel.MAC) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := boottime.Now()
	for _, wantLossy := range []bool{true, false} {
		for mac, peer := range n.peers {
			counted := peer.counts.Sum(now)
			isLossy := !peer.state.isGood() || counted.full.answered < counted.full.sent
			if isLossy == wantLossy && !peer.awaitsHandshake() && len(chosen) < maxSeriesPeers {
				chosen = append(chosen, mac)
			}
		}
	}
	return chosen
}

// isLost tells whether nothing passes to a host, as far as is known.
func (p *tunnelProber) isLost(n *probedNetwork, mac kernel.MAC) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	peer := n.peers[mac]
	return peer == nil || peer.state.lost
}

// measureSeries sends a series to a host. If frames of the full size are lost, another one and one of
// small frames tell how many, and whether their size matters.
func (p *tunnelProber) measureSeries(ctx context.Context, n *probedNetwork, mac kernel.MAC) {
	s := frameSeries{at: boottime.Now()}
	var err error
	if s.full, err = n.conn.Series(ctx, mac, n.mtu, seriesFrames); err != nil {
		return // the devices are gone
	}
	if s.full.Lost() > 0 && (s.full.Answered > 0 || !p.isLost(n, mac)) {
		more, err := n.conn.Series(ctx, mac, n.mtu, seriesFrames)
		if err != nil {
			return
		}
		s.full = s.full.Add(more)
		if s.small, err = n.conn.Series(ctx, mac, smallProbe, seriesFrames); err != nil {
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if peer := n.peers[mac]; peer != nil {
		peer.series = s
	}
}
