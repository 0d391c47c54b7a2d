package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Run listens, finds the others and works until ctx is done, and does that once.
// If it cannot listen it returns an error, and may be called again.
func (s *Source) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := s.claim(cancel); err != nil {
		return fmt.Errorf("start %v: %w", s, err)
	}
	if err := s.start(); err != nil {
		s.mu.Lock()
		s.stop = nil
		s.mu.Unlock()
		return fmt.Errorf("start %v: %w", s, err)
	}
	if len(s.cfg.Keys) == 0 {
		s.log.Warn("gossip has no key: it is neither encrypted nor authenticated, and hears only listed hosts", "bind", s.cfg.Bind)
	}
	var loops sync.WaitGroup
	for _, loop := range []func(context.Context){s.publishLoop, s.sendLoop, s.repairLoop, s.seekLoop} {
		loops.Go(func() { loop(ctx) })
	}
	<-ctx.Done()
	err := s.ml.Shutdown()
	loops.Wait()
	s.mu.Lock()
	s.running = false
	s.mu.Unlock()
	return err
}

// claim makes this call of Run the only one.
func (s *Source) claim(cancel context.CancelFunc) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stop != nil:
		return errors.New("it was run before")
	case s.leaving:
		return errors.New("the host has left")
	}
	s.stop = cancel
	return nil
}

func (s *Source) start() error {
	conf, err := s.cfg.memberlist()
	if err != nil {
		return err
	}
	d := delegate{s}
	conf.Delegate, conf.Events, conf.Alive, conf.Conflict = d, d, d, d
	conf.Logger = newMemlog(s.counters, s.log)
	transport := s.cfg.transport
	if transport == nil {
		transport, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{conf.BindAddr}, BindPort: conf.BindPort, Logger: conf.Logger,
		})
		if err != nil {
			return err
		}
	}
	g := newGuard(transport, s.permits, s.counters)
	conf.Transport = g
	if s.ml, err = memberlist.Create(conf); err != nil {
		return errors.Join(err, g.Shutdown())
	}
	s.mu.Lock()
	s.running = true
	s.mu.Unlock()
	return nil
}

// repairInterval is how often hosts compare what they know with a random other.
// It bounds how long a lost packet goes unnoticed where gossip missed it too.
const (
	repairInterval = time.Second
	retryInterval  = 250 * time.Millisecond
)

// repairLoop compares, asks again, and forgets.
func (s *Source) repairLoop(ctx context.Context) {
	const ratio = int(repairInterval / retryInterval)
	// Not all hosts that start together shall speak together.
	if !pause(ctx, rand.N(retryInterval)) {
		return
	}
	for i := rand.N(ratio); pause(ctx, retryInterval); i++ {
		s.mu.Lock()
		s.retryLocked(time.Now())
		if i%ratio == 0 {
			s.compareLocked()
			if s.table.expire(time.Now()) {
				s.showLocked()
			}
			s.dropLostLocked()
		}
		s.mu.Unlock()
	}
}

// compareLocked sends a hash of what this host knows to a random member.
func (s *Source) compareLocked() {
	if m, ok := s.randomLocked(); ok {
		s.sendLocked(m, s.encode(message{kind: kindSummary, hash: hash(s.digestsLocked())}))
	}
}

// randomLocked returns one of the members; the order of a map is random enough.
func (s *Source) randomLocked() (memberlist.Node, bool) {
	skip := 0
	if len(s.members) > 0 {
		skip = rand.N(len(s.members))
	}
	for _, m := range s.members {
		if skip == 0 {
			return m, true
		}
		skip--
	}
	return memberlist.Node{}, false
}

// retryLocked asks for what did not come: first one of the members, as all have
// most of it, then the owner, and so on in turn. The owner may just have died, and
// any other may have missed the record too.
func (s *Source) retryLocked(now time.Time) {
	other, ok := s.randomLocked()
	var names []string
	for name, a := range s.asked {
		if now.Before(a.until) {
			continue
		}
		a.tries++
		if a.tries > maxTries || !ok || !s.table.wants(digest{name: name, version: a.version}) {
			delete(s.asked, name)
			continue
		}
		a.until = now.Add(askTimeout)
		s.asked[name] = a
		if owner, here := s.members[name]; here && a.tries%2 == 0 {
			s.askLocked(owner, []string{name})
		} else {
			names = append(names, name)
		}
	}
	s.askLocked(other, names)
}

// dropLostLocked forgets where hosts were that are forgotten.
func (s *Source) dropLostLocked() {
	for name := range s.lostAddr {
		if e, known := s.table.entries[name]; !known || !e.shown() {
			delete(s.lostAddr, name)
		}
	}
}
