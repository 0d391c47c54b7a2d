package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster/gossip/guard"
)

// Run listens, finds the others and works until ctx is done. It runs once; only if it cannot listen
// does it return an error and may be called again.
func (p *Plane) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := p.beginRun(cancel); err != nil {
		return fmt.Errorf("start %v: %w", p, err)
	}
	if err := p.startMemberlist(); err != nil {
		p.mu.Lock()
		p.cancelRun = nil
		p.mu.Unlock()
		return fmt.Errorf("start %v: %w", p, err)
	}
	if len(p.cfg.Keys) == 0 {
		p.log.Warn("gossip has no key: it is neither encrypted nor authenticated, and accepts only listed hosts", "bind", p.cfg.Bind)
	}
	var loops sync.WaitGroup
	for _, loop := range []func(context.Context){p.publishLoop, p.outbox.sendLoop, p.repairLoop, p.rejoinLoop, p.strayLoop} {
		loops.Go(func() { loop(ctx) })
	}
	p.cfg.Host.setTalksBy(p.cfg.Bind, true)
	<-ctx.Done()
	p.cfg.Host.setTalksBy(p.cfg.Bind, false)
	err := p.memberlist.Shutdown()
	loops.Wait()
	p.mu.Lock()
	p.running = false
	p.mu.Unlock()
	return err
}

// beginRun makes this call of Run the only one.
func (p *Plane) beginRun(cancel context.CancelFunc) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.cancelRun != nil:
		return errors.New("it was run before")
	case p.leaving:
		return errors.New("the host has left")
	}
	p.cancelRun = cancel
	return nil
}

func (p *Plane) startMemberlist() error {
	conf, err := p.cfg.memberlistConfig()
	if err != nil {
		return err
	}
	d := delegate{p}
	conf.Delegate, conf.Events, conf.Alive, conf.Merge = d, d, d, d
	conf.Logger = guard.NewLibraryLogger(p.refusals, p.log)
	transport := p.cfg.transport
	if transport == nil {
		if transport, err = newBoundTransport(conf, p.cfg.Bind.Addr()); err != nil {
			return err
		}
	}
	guarded := guard.New(transport, d.permits, p.refusals)
	conf.Transport = guarded
	if p.memberlist, err = memberlist.Create(conf); err != nil {
		return errors.Join(err, guarded.Shutdown())
	}
	p.outbox.memberlist = p.memberlist
	p.mu.Lock()
	p.running = true
	p.mu.Unlock()
	return nil
}

// publishInterval is the least time between two versions of this host's record. A single container
// start is sent at once. Of a hundred within a second, each member gets at most fifty packets.
const publishInterval = 20 * time.Millisecond

func (p *Plane) publishLoop(ctx context.Context) {
	for {
		select {
		case <-p.replica.PublishRequests():
			p.mu.Lock()
			p.replica.Publish()
			p.mu.Unlock()
			waitFor(ctx, publishInterval)
		case <-ctx.Done():
			return
		}
	}
}

// Each repairInterval a host compares what it knows with a random member. That bounds how long a
// lost packet goes unnoticed where gossip missed it too.
const (
	repairInterval = time.Second
	retryInterval  = 250 * time.Millisecond
)

// repairLoop compares hashes, retries requests, and forgets hosts.
func (p *Plane) repairLoop(ctx context.Context) {
	const ratio = int(repairInterval / retryInterval)
	// Hosts that start at the same time should not repair at the same time.
	if !waitFor(ctx, rand.N(retryInterval)) {
		return
	}
	for i := rand.N(ratio); waitFor(ctx, retryInterval); i++ {
		p.mu.Lock()
		now := time.Now()
		p.replica.Retry(now)
		if i%ratio == 0 {
			p.replica.SendSummary(now)
			p.forgetHostsLocked(now)
		}
		p.mu.Unlock()
	}
}

// forgetHostsLocked forgets hosts that have been gone for too long, and where they were.
func (p *Plane) forgetHostsLocked(now time.Time) {
	if p.replica.Forget(now) {
		p.updateSnapshotLocked()
	}
	for host := range p.peers.lost {
		if !p.replica.Knows(host) {
			delete(p.peers.lost, host)
		}
	}
}

// wakeLoop makes a loop run once more. Several wakes before it does are one.
func wakeLoop(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// waitFor waits, and tells whether ctx is still alive.
func waitFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
