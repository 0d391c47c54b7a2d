package gossip

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// A round asks all seeds at once. Packets find those that live: they cost little for each of a
// thousand hosts, and a lost one is repeated soon. Whoever answers is joined over a stream.
const (
	// helloInterval is how often a seed is asked. Of 20 packets and answers one arrives, where 30 %
	// are lost, but in one of 700,000 cases.
	helloInterval = 50 * time.Millisecond
	// roundAlone is how long a round lasts in which nobody answers. Seeds may be about to start, as
	// after a power cut.
	roundAlone = time.Second
	// roundRest is how long it lasts at least once a host was joined. The seeds that are silent are
	// down then, or the other half of a network that was cut in two.
	roundRest = 300 * time.Millisecond
	// roundLimit bounds a round in which a seed has answered, and can hardly be joined.
	roundLimit = 6 * time.Second
	// maxJoinsAtOnce is how many of the seeds that answered are joined at the same time. With the
	// first one mostly all are known.
	maxJoinsAtOnce = 8
	// maxDialsAtOnce is how many connections to silent seeds are tried at the same time. Firewalls
	// may drop packets only.
	maxDialsAtOnce = 64
)

// round is one round of asking seeds. Only its loop uses it, except where a channel leads.
type round struct {
	*Plane
	began   time.Time
	asked   time.Time // when packets were last sent
	seeds   []netip.AddrPort
	states  map[netip.AddrPort]*seedState
	outcome chan seedOutcome
	joining int // seeds that answered
	dialing int // silent seeds
}

// seedState is what became of a seed in this round.
type seedState struct {
	answered bool      // a packet
	dialled  bool      // a connection was tried without an answer
	underway bool      // a connection is tried
	triedAt  time.Time // when a connection ended
	refused  bool
	// joined tells that states were exchanged. If it is no member then, its agent says that it
	// listens elsewhere, as behind an address translation.
	joined bool
}

type seedOutcome struct {
	seed     netip.AddrPort
	answered bool
	joinOutcome
}

// askSeeds asks the seeds that have not been asked yet, and returns once it is known who of them is
// there and what the others have. So the plane has heard of everybody whom it can know of.
func (p *Plane) askSeeds(ctx context.Context) {
	r, due := p.newRound()
	if !due {
		return
	}
	ticker := time.NewTicker(helloInterval)
	defer ticker.Stop()
	for !r.step(ctx) {
		select {
		case <-ticker.C:
		case <-p.helloReplies:
		case o := <-r.outcome:
			r.note(o)
		case <-ctx.Done():
			return
		}
	}
	p.endRound(r.seeds)
}

// newRound tells whether there is anything to ask, or to say that there is not.
func (p *Plane) newRound() (*round, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.seedsSet || p.isSyncedLocked() {
		return nil, false
	}
	r := &round{Plane: p, began: time.Now(), seeds: p.peers.unaskedSeeds(), states: make(map[netip.AddrPort]*seedState)}
	r.outcome = make(chan seedOutcome, len(r.seeds)) // so that nobody waits for a round that has ended
	rand.Shuffle(len(r.seeds), func(i, j int) { r.seeds[i], r.seeds[j] = r.seeds[j], r.seeds[i] })
	for _, seed := range r.seeds {
		r.states[seed] = new(seedState)
	}
	return r, true
}

// step sends what is due, and tells whether the round is over.
func (r *round) step(ctx context.Context) (over bool) {
	r.mu.Lock()
	missing := r.peers.missing()
	r.replica.RetryRequests(boottime.Now())
	synced := !r.replica.AwaitsRecords()
	for _, seed := range r.seeds {
		r.states[seed].answered = r.states[seed].answered || r.peers.answered(seed)
	}
	leaving := r.leaving
	r.mu.Unlock()
	if leaving {
		return true
	}
	answered, silent, unsettled := 0, 0, 0
	ask := time.Since(r.asked) >= helloInterval
	if ask {
		r.asked = time.Now()
	}
	for _, seed := range r.seeds {
		s := r.states[seed]
		switch {
		case s.refused || s.joined:
			continue
		case !missing[seed]:
			if s.underway {
				unsettled++ // it is a member before its digests are here
			}
			continue
		}
		if r.tryJoin(ctx, seed, s); s.answered {
			answered++
			continue
		}
		silent++
		if ask {
			r.sendHello(seed)
		}
	}
	switch age := time.Since(r.began); {
	case age >= roundLimit, answered+silent+unsettled == 0 && synced:
		return true
	case answered+unsettled > 0 || !synced:
		return false
	case r.found(missing):
		return age >= roundRest
	default:
		return age >= roundAlone
	}
}

// found tells whether one of the seeds is a member.
func (r *round) found(missing map[netip.AddrPort]bool) bool {
	return slices.ContainsFunc(r.seeds, func(seed netip.AddrPort) bool { return !missing[seed] || r.states[seed].joined })
}

// tryJoin joins a seed if it has answered, or if there is room to try without.
func (r *round) tryJoin(ctx context.Context, seed netip.AddrPort, s *seedState) {
	switch {
	case s.underway, time.Since(s.triedAt) < rejoinHelloWait:
		return
	case s.answered && r.joining < maxJoinsAtOnce:
		r.joining++
	case !s.answered && !s.dialled && r.dialing < maxDialsAtOnce:
		r.dialing++
	default:
		return
	}
	s.underway, s.dialled = true, true
	answered := s.answered
	r.joins.Go(func() { r.outcome <- seedOutcome{seed, answered, r.join(ctx, seed)} })
}

// note notes what became of an attempt to join a seed.
func (r *round) note(o seedOutcome) {
	s := r.states[o.seed]
	s.underway, s.triedAt = false, time.Now()
	s.refused, s.joined = o.joinOutcome == refused, o.joinOutcome == joined
	if o.answered {
		r.joining--
	} else {
		r.dialing--
	}
}

// endRound notes that seeds were asked.
func (p *Plane) endRound(seeds []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, seed := range seeds {
		p.peers.asked[seed] = true
		delete(p.peers.awaited, seed)
	}
	p.asked = true
	p.replica.AnswerClaims(boottime.Now())
	p.notifyLocked()
}

// sendHello asks a host whether it is there.
func (p *Plane) sendHello(host netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, awaited := p.peers.awaited[host]; !awaited {
		p.peers.awaited[host] = false
	}
	p.sendGreetingLocked(host, wire.KindHello)
}

// sendGreetingLocked sends a greeting to a host, whose ID need not be known.
func (p *Plane) sendGreetingLocked(to netip.AddrPort, kind wire.Kind) {
	m := wire.Message{Format: p.peers.commonFormat(p.cfg.formats), Kind: kind, From: p.cfg.key()}
	p.outbox.queueMessage(memberlist.Node{Addr: to.Addr().AsSlice(), Port: to.Port()}, m.Encode())
}

func (p *Plane) hasAnswered(host netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.peers.answered(host)
}

// receiveGreetingLocked answers a host that asks whether this one is there, or notes an answer.
func (p *Plane) receiveGreetingLocked(m wire.Message) {
	_, awaited := p.peers.awaited[m.From.Addr]
	switch {
	case !p.peers.permits(m.From.Addr.Addr()):
	case m.Kind == wire.KindHello:
		p.sendGreetingLocked(m.From.Addr, wire.KindHelloReply)
	case awaited:
		p.peers.awaited[m.From.Addr] = true
		wakeLoop(p.helloReplies)
	}
	if m.Kind == wire.KindHelloReply {
		p.noteDoubtedAnswerLocked(m.From)
	}
}
