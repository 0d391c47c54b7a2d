package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/boottime"
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
	if !p.cfg.hasKeys() {
		p.log.Warn("gossip has no key: it is neither encrypted nor authenticated, and accepts only listed hosts",
			"bind", p.cfg.Bind)
	}
	var loops sync.WaitGroup
	for _, loop := range []func(context.Context){
		p.publishLoop, p.newsLoop, p.outbox.sendLoop, p.repairLoop, p.rejoinLoop, p.spreadLoop, p.strayLoop,
		p.doubtLoop,
	} {
		loops.Go(func() { loop(ctx) })
	}
	for range maxAnswering {
		loops.Go(func() { p.answerLoop(ctx) })
	}
	p.cfg.Host.beginsToTalk(p.cfg.Bind)
	<-ctx.Done()
	p.cfg.Host.endsToTalk(p.cfg.Bind)
	p.leaveMu.Lock()
	p.ended = true
	err := p.memberlist.Shutdown()
	p.leaveMu.Unlock()
	loops.Wait()
	p.mu.Lock()
	p.running = false
	p.mu.Unlock()
	p.questions.sending.Wait()
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
	conf.Delegate, conf.Events, conf.Alive, conf.Merge, conf.Ping = d, d, d, d, d
	conf.Logger = guard.NewLibraryLogger(p.refusals, p.log)
	transport := p.cfg.transport
	if transport == nil {
		if transport, err = newBoundTransport(conf, p.cfg.Bind.Addr(), p.log); err != nil {
			return err
		}
	}
	guarded := guard.New(transport, d.permits, p.refusals, &p.cfg.Host.PortProbes)
	conf.Transport = guarded
	if p.memberlist, err = memberlist.Create(conf); err != nil {
		return errors.Join(err, guarded.Shutdown())
	}
	p.outbox.memberlist = p.memberlist
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running = true; p.leaving {
		p.cancelRun() // it was told to leave a moment ago
	}
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

// newsInterval is how long news wait for more. It lets a record itself arrive first.
const newsInterval = 100 * time.Millisecond

// newsLoop passes digests of new records on.
func (p *Plane) newsLoop(ctx context.Context) {
	for {
		select {
		case <-p.replica.NewsRequests():
			if !waitFor(ctx, newsInterval) {
				return
			}
			p.mu.Lock()
			p.replica.SendNews()
			p.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// Each repairInterval a host compares what it knows with a random member. That bounds how long a
// lost packet goes unnoticed where gossip missed it too.
const (
	repairInterval = time.Second
	retryInterval  = 250 * time.Millisecond // while records were requested and have not come
)

// repairLoop compares hashes, retries requests, and forgets hosts.
func (p *Plane) repairLoop(ctx context.Context) {
	// Hosts that start at the same time should not repair at the same time.
	repairAt := time.Now().Add(rand.N(repairInterval))
	for pending := false; ctx.Err() == nil; {
		pause := time.Until(repairAt)
		if pending {
			pause = min(pause, retryInterval)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
			pending = p.repair(&repairAt)
		case <-p.replica.RequestsBegan():
			pending = true
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// repair does what is due, and tells whether to retry something soon.
func (p *Plane) repair(repairAt *time.Time) (pending bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !now.Before(*repairAt) {
		*repairAt = now.Add(repairInterval)
		p.replica.SendSummary(boottime.Now())
		p.forgetHostsLocked(boottime.Now())
	}
	return p.replica.Retry(boottime.Now())
}

// forgetHostsLocked forgets hosts that have been gone for too long, and where they were.
func (p *Plane) forgetHostsLocked(now time.Time) {
	p.noteLeftSeedsLocked()
	p.forgetLeftLocked() // while what says that they have left is known
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
