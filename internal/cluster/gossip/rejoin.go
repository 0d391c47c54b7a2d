package gossip

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"vxlan-driver/internal/cluster/gossip/guard"
	"vxlan-driver/internal/cluster/gossip/refusal"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// Back-off of joining a host that is not a member, for each host. The longest bounds how long two
// halves of a healed network may not know of each other. Its price, for a host that is down, is
// eight packets and two connections a minute.
const (
	minRejoinBackoff = time.Second
	maxRejoinBackoff = 15 * time.Second
	// rejoinDelay lets the news arrive first that a host is a member, or is back.
	rejoinDelay = 300 * time.Millisecond
	// maxRejoinsAtOnce is how many hosts are tried in a second. Any host of the other half of a
	// healed network is enough.
	maxRejoinsAtOnce = 8
	// dialEvery is how many attempts one connection is tried, if no packet is answered. It passes a
	// firewall that drops packets, and tells why another host refuses this one.
	dialEvery = 2
)

// rejoinLoop finds hosts that should be members and are not. It asks new seeds at once, and then
// goes on with those that are still missing: seeds, former members, and senders that take
// themselves for members. memberlist alone would not: it drops a dead host for good after half a
// minute.
func (p *Plane) rejoinLoop(ctx context.Context) {
	defer p.joins.Wait()
	for ctx.Err() == nil {
		p.askSeeds(ctx)
		timer := time.NewTimer(p.tryMissing(ctx))
		select {
		case <-timer.C:
		case <-p.wakeRejoiner:
			waitFor(ctx, rejoinDelay+p.spreadDelay())
		case <-p.newSeeds:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// tryMissing tries to join some of the hosts that are missing, and returns when to do so again.
func (p *Plane) tryMissing(ctx context.Context) (again time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving {
		return maxRejoinBackoff
	}
	now := time.Now()
	due, again := p.peers.takeDue(now)
	for _, host := range due {
		p.joins.Go(func() {
			if host.alive || p.greet(ctx, host.addr) || host.number%dialEvery == 0 {
				p.join(ctx, host.addr)
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			if p.peers.attemptEnded(host.addr) {
				wakeLoop(p.wakeRejoiner)
			}
		})
	}
	return again
}

// greet sends packets to a host, and tells whether it answered one.
func (p *Plane) greet(ctx context.Context, host netip.AddrPort) bool {
	for range 2 {
		p.sendHello(host)
		waitFor(ctx, rejoinHelloWait)
		if p.hasAnswered(host) {
			return true
		}
	}
	return false
}

// rejoinHelloWait is more than an answer takes on a LAN.
const rejoinHelloWait = 100 * time.Millisecond

// joinOutcome is what became of an attempt to join a host.
type joinOutcome int

const (
	joined joinOutcome = iota
	unreachable
	refused // by the other host, or by this one
)

// join exchanges states with a host, which makes both members of one cluster.
func (p *Plane) join(ctx context.Context, host netip.AddrPort) joinOutcome {
	_, err := p.memberlist.Join([]string{host.String()})
	switch {
	case err == nil:
		return joined
	case ctx.Err() != nil: // Run ends, and the transport with it
		return unreachable
	}
	return p.countFailedJoin(host, err)
}

// countFailedJoin counts why a host could not be joined: a refusal, of this host's or the other's,
// or no answer. The errors of memberlist have no types, so their texts tell.
func (p *Plane) countFailedJoin(host netip.AddrPort, err error) joinOutcome {
	text := strings.Join(strings.Fields(err.Error()), " ") // the library writes several lines
	outcome := refused
	why, ok := guard.ReasonOf(text)
	if known, unlisted := guard.NoticeIn(text); unlisted {
		why = refusal.ReasonUnlistedThere
		text = fmt.Sprintf("it does not list %v in remote_ips", known)
	} else if guard.IsUnreachable(text) {
		why, outcome = refusal.ReasonNoAnswer, unreachable
	} else if !ok {
		why = refusal.ReasonRefusedThere
	}
	p.refusals.AddFrom(why, host.Addr(), "join "+host.String()+": "+text)
	return outcome
}

// attempt is when a missing host is tried again.
type attempt struct {
	last     time.Time // when one was made
	due      time.Time
	backoff  time.Duration
	number   int
	alive    bool // it was made since the host had sent something
	underway bool
}

// dueHost is a host to be tried now.
type dueHost struct {
	addr   netip.AddrPort
	number int  // of the attempt, from 0
	alive  bool // it has sent something
}

// takeDue returns some of the missing hosts whose attempt is due, and after what time to ask again. A
// host that has sent something is tried at once, unless that was just done. It forgets the unknown
// senders that are tried, and the attempts of hosts that are not missing any more.
func (p *peers) takeDue(now time.Time) (due []dueHost, again time.Duration) {
	again = time.Hour
	attempts, sent := make(map[netip.AddrPort]*attempt), make(map[netip.AddrPort]bool)
	for host := range p.unknownSenders {
		sent[host.Addr] = true
	}
	for addr := range p.missing() {
		a := p.attempts[addr]
		if a == nil {
			a = &attempt{due: now}
		}
		attempts[addr] = a
		alive := sent[addr] && !(a.alive && now.Sub(a.last) < minRejoinBackoff)
		if soon := a.last.Add(minRejoinBackoff); sent[addr] && a.due.After(soon) {
			a.due = soon
		}
		if !a.underway && (alive || !a.due.After(now)) {
			due = append(due, dueHost{addr, a.number, alive})
		}
	}
	p.attempts = attempts
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	due = due[:min(len(due), maxRejoinsAtOnce)]
	for _, host := range due {
		attempts[host.addr].begin(now, host.alive)
	}
	maps.DeleteFunc(p.unknownSenders, func(host wire.Key, _ bool) bool {
		return p.isMember(host) || attempts[host.Addr] == nil || attempts[host.Addr].last == now
	})
	for _, a := range attempts {
		again = min(again, max(minRejoinBackoff, a.due.Sub(now)))
	}
	return due, again
}

// begin notes that an attempt is made, and when the next one is due. The hosts of one half of a
// network should not all try at the same time.
func (a *attempt) begin(now time.Time, alive bool) {
	a.backoff = min(max(2*a.backoff, minRejoinBackoff), maxRejoinBackoff)
	a.due = now.Add(a.backoff/2 + rand.N(a.backoff))
	a.last, a.alive = now, alive
	a.number++
	a.underway = true
}

// attemptEnded notes that an attempt to join a host has ended. It tells whether the host has sent
// something meanwhile.
func (p *peers) attemptEnded(host netip.AddrPort) (alive bool) {
	if a := p.attempts[host]; a != nil {
		a.underway = false
	}
	delete(p.awaited, host)
	for sender := range p.unknownSenders {
		alive = alive || sender.Addr == host
	}
	return alive
}
