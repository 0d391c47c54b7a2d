package gossip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"vxlan-driver/internal/cluster/gossip/guard"
	"vxlan-driver/internal/cluster/gossip/refusal"
)

// Back-off of joining hosts that are not members. The longest bounds how long two halves of a
// healed network may not know of each other. Its price is a connection or a few, each time, to
// hosts that are down.
const (
	minRejoinBackoff = time.Second
	maxRejoinBackoff = 15 * time.Second
	// rejoinDelay lets the news arrive first that a host is a member, or is back.
	rejoinDelay    = 300 * time.Millisecond
	maxJoinsAtOnce = 8 // any host of the other half is enough
)

// rejoinLoop joins hosts that are not members: seeds, former members, and senders that take
// themselves for members. memberlist alone would not: it drops a dead host for good after half a
// minute.
func (p *Plane) rejoinLoop(ctx context.Context) {
	backoff := minRejoinBackoff
	for ctx.Err() == nil {
		found := p.joinAll(ctx, p.missingHosts())
		p.markReady()
		if found {
			backoff = minRejoinBackoff
		}
		// The hosts of one half should not all try at the same time.
		timer := time.NewTimer(backoff/2 + rand.N(backoff))
		select {
		case <-timer.C:
			backoff = min(2*backoff, maxRejoinBackoff)
		case <-p.wakeRejoiner:
			backoff = minRejoinBackoff
			waitFor(ctx, rejoinDelay+p.spreadDelay())
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

func (p *Plane) missingHosts() []netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving {
		return nil
	}
	return p.peers.missingMembers()
}

// joinAll joins all of the hosts at once, and tells whether one answered. The plane is ready with
// the first that does.
func (p *Plane) joinAll(ctx context.Context, hosts []netip.AddrPort) (found bool) {
	var joins sync.WaitGroup
	var mu sync.Mutex
	for _, host := range hosts {
		joins.Go(func() {
			if _, err := p.memberlist.Join([]string{host.String()}); err != nil {
				if ctx.Err() == nil { // else Run ends, and the transport with it
					p.countFailedJoin(host, err)
				}
				return
			}
			p.markReady()
			mu.Lock()
			found = true
			mu.Unlock()
		})
	}
	joins.Wait()
	return found
}

// markReady notes that another host was found, or that all seeds were tried once.
func (p *Plane) markReady() {
	p.readyOnce.Do(func() {
		close(p.ready)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.notifyLocked()
	})
}

// countFailedJoin counts why a host could not be joined: a refusal, of this host's or the other's,
// or no answer. The errors of memberlist have no types, so their texts tell.
func (p *Plane) countFailedJoin(host netip.AddrPort, err error) {
	text := strings.Join(strings.Fields(err.Error()), " ") // the library writes several lines
	why, ok := guard.ReasonOf(text)
	if known, unlisted := guard.NoticeIn(text); unlisted {
		why = refusal.ReasonUnlistedThere
		text = fmt.Sprintf("it does not list %v in remote_ips", known)
	} else if guard.IsUnreachable(text) {
		why = refusal.ReasonNoAnswer
	} else if !ok {
		why = refusal.ReasonRefusedThere
	}
	p.refusals.AddFrom(why, host.Addr(), "join "+host.String()+": "+text)
}
