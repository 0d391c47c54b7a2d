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

// retryLocked asks the owner for what did not come, or somebody else if the
// owner does not answer.
func (s *Source) retryLocked(now time.Time) {
	for name, a := range s.asked {
		if now.Before(a.until) {
			continue
		}
		m, ok := s.members[name]
		if !ok {
			m, ok = s.randomLocked()
		}
		if a.tries++; a.tries > maxTries || !ok || !s.table.wants(digest{name: name, version: a.version}) {
			delete(s.asked, name)
			continue
		}
		a.until = now.Add(askTimeout)
		s.asked[name] = a
		s.askLocked(m, []string{name})
	}
}

// dropLostLocked forgets where hosts were that are forgotten.
func (s *Source) dropLostLocked() {
	for name := range s.lostAddr {
		if e, known := s.table.entries[name]; !known || !e.shown() {
			delete(s.lostAddr, name)
		}
	}
}

// sendLocked puts a message in the outbox.
func (s *Source) sendLocked(to memberlist.Node, data []byte) {
	if len(s.outbox) >= maxOutbox {
		return // the comparisons of hashes make up for it
	}
	s.outbox = append(s.outbox, envelope{to, data})
	wake(s.send)
}

// maxSending is how many streams are open at once: all that a host in a cluster
// of some dozens needs, when its record is too long for packets. maxOutbox is
// several messages to each of a thousand hosts.
const (
	maxSending = 64
	maxOutbox  = 4096
)

// sendLoop empties the outbox: packets in order, and a stream for each message
// that fits none.
func (s *Source) sendLoop(ctx context.Context) {
	var streams sync.WaitGroup
	defer streams.Wait()
	for {
		select {
		case <-s.send:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		out := s.outbox
		s.outbox = nil
		s.mu.Unlock()
		for _, e := range out {
			s.counters.count(func(st *Stats) { st.Sent++; st.SentBytes += uint64(len(e.data)) })
			if len(e.data) <= s.cfg.maxPacket() {
				if err := s.ml.SendBestEffort(&e.to, e.data); err != nil {
					s.log.Debug("send packet", "to", e.to.Name, "err", err)
				}
				continue
			}
			streams.Go(func() { s.stream(ctx, e) })
		}
	}
}

// stream sends a message that is too long for a packet.
func (s *Source) stream(ctx context.Context, e envelope) {
	select {
	case s.streams <- struct{}{}:
	case <-ctx.Done():
		return
	}
	defer func() { <-s.streams }()
	if err := s.ml.SendReliable(&e.to, e.data); err != nil {
		s.log.Debug("send stream", "to", e.to.Name, "err", err)
	}
}

// leaveCopies is how many members are told of the leave over a stream, so that
// one of them can tell those who miss the packet.
const leaveCopies = 3

// Leave takes this host out of the cluster: the others forget it at once. Run
// returns afterwards.
func (s *Source) Leave(ctx context.Context) error {
	s.mu.Lock()
	stop, running := s.stop, s.running
	s.leaving = true
	if !running {
		s.mu.Unlock()
		return nil
	}
	s.own = record{name: s.cfg.Name, left: true, version: s.own.version.after(s.seen, contentSum(true, nil))}
	data := s.encode(message{kind: kindRecords, records: []held{{record: s.own, age: 1}}})
	s.queueDigestLocked(digest{name: s.cfg.Name, version: s.own.version, age: 1})
	var copies []memberlist.Node
	for _, m := range s.members {
		s.sendLocked(m, data)
		if len(copies) < leaveCopies {
			copies = append(copies, m)
		}
	}
	s.mu.Unlock()
	defer stop()
	var sent sync.WaitGroup
	for _, m := range copies {
		sent.Go(func() { s.stream(ctx, envelope{m, data}) })
	}
	sent.Wait()
	wait := streamTimeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = max(time.Millisecond, time.Until(deadline))
	}
	if err := s.ml.Leave(wait); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}
