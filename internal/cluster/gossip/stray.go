package gossip

import (
	"context"
	"net"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster/gossip/replica"
	"vxlan-driver/internal/cluster/gossip/wire"
)

const (
	// strayInterval is how often it is looked whether a host still has this one's ID.
	strayInterval = 5 * time.Second
	// strayPings are sent to a stray's address, one each strayPingInterval. The last is waited for
	// longer. At a loss of 10 % the chance that none is answered is 2 in 10,000. A host that is
	// slower, or unlucky, puts its record back.
	strayPings        = 5
	strayPingInterval = 50 * time.Millisecond
	strayPingTimeout  = 200 * time.Millisecond
	// maxStrayPause is the longest pause before a record is taken out once more whose owner has put it
	// back. It bounds how long the record of a host stays that is gone for good since.
	maxStrayPause = time.Minute
)

// strayLoop takes out the records that this host has left behind: at an address that it had before,
// or of an earlier installation. Nobody else does, and for a day they would reserve its addresses.
// It finds hosts that are copies of this one, too.
func (p *Plane) strayLoop(ctx context.Context) {
	for ctx.Err() == nil {
		ended := p.cfg.Host.planeEnded()
		inUse := make(map[wire.Key]strayState)
		for _, stray := range p.listStrays() {
			if state := p.stateOf(ctx, stray); state != strayLeftBehind {
				inUse[stray.Key] = state
			} else {
				p.takeOut(stray)
			}
		}
		p.handleStraysInUse(inUse)
		timer := time.NewTimer(strayInterval)
		select {
		case <-p.replica.StrayFound():
		case <-ended:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (p *Plane) listStrays() []replica.Stray {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving {
		return nil
	}
	return p.replica.Strays()
}

// strayState is what a stray turned out to be.
type strayState int

const (
	strayLeftBehind strayState = iota // nobody lives who could own it
	straySibling                      // of another plane of this host
	strayCopy                         // another host lives that has this one's ID
	strayTwin                         // another host lives that has this one's address
	strayReturned                     // its owner put it back, and is not reached now
)

func (p *Plane) stateOf(ctx context.Context, stray replica.Stray) strayState {
	isBack := stray.Returned && p.leavesAlone(stray.Key)
	if stray.Kind == replica.StrayMoved {
		switch talks, once := p.cfg.Host.knowsAddr(stray.Addr); {
		case talks:
			return straySibling
		case once && !isBack:
			return strayLeftBehind
		}
	}
	switch {
	case stray.Kind == replica.StrayMoved && (isBack || p.answers(ctx, stray.Key)):
		return strayCopy
	case stray.Kind == replica.StrayReplaced && isBack:
		return strayTwin
	case isBack:
		return strayReturned
	}
	return strayLeftBehind // what others say of this host's address is wrong
}

func (p *Plane) leavesAlone(host wire.Key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.strays.leaveAlone(host, p.peers.isMember(host), boottime.Now())
}

// answers tells whether an agent of the key answers at its address. One of another ID does not.
func (p *Plane) answers(ctx context.Context, host wire.Key) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range strayPings {
		go func() { // ends within memberlist's own time-out
			if _, err := p.memberlist.Ping(host.String(), net.UDPAddrFromAddrPort(host.Addr)); err == nil {
				cancel()
			}
		}()
		waitFor(ctx, strayPingInterval)
	}
	return !waitFor(ctx, strayPingTimeout-strayPingInterval)
}

func (p *Plane) takeOut(stray replica.Stray) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what := p.labelLocked(stray.Key)
	if p.leaving || !p.replica.TakeOut(stray.Key, boottime.Now()) {
		return
	}
	if stray.Returned {
		p.strays.growPause(stray.Key, boottime.Now())
	}
	p.log.Info("took out a record that this host left behind", "host", what, "id", stray.ID)
	p.updateSnapshotLocked()
}
