package gossip

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

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
