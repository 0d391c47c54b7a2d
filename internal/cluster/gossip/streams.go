package gossip

import (
	"context"
	"slices"
	"sync"
)

// Limits on the messages that wait for a stream. A host that is gone blocks each of its streams for
// guard.StreamTimeout. A newcomer to 1,000 hosts with 50 containers each gets some 15 messages.
// What is dropped is requested again, or found by comparing hashes.
const (
	maxStreamsSending = 64 // at once; a cluster of some dozens of hosts needs them when a record is too long for packets
	maxStreamsQueued  = 32 // for one host
	maxStreamBytes    = 64 << 20
)

// streamQueues hold the messages that are too long for packets. Those for one host are sent in
// turn.
type streamQueues struct {
	send   func(envelope)
	tokens chan struct{} // one for each stream that is being sent
	wg     sync.WaitGroup

	mu      sync.Mutex
	byAddr  map[string][]envelope // the first of each is being sent
	holders map[*byte]int         // messages by their first byte: one may go to many hosts
	bytes   int                   // of all messages, each counted once
	dropped uint64
}

func newStreamQueues(send func(envelope)) *streamQueues {
	return &streamQueues{
		send: send, tokens: make(chan struct{}, maxStreamsSending),
		byAddr: make(map[string][]envelope), holders: make(map[*byte]int),
	}
}

// Add queues a message. If there are too many for the host, the oldest is dropped that is not being
// sent; if there are too many in all, this one.
func (q *streamQueues) Add(ctx context.Context, e envelope) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+len(e.data) > maxStreamBytes && q.holders[&e.data[0]] == 0 {
		q.dropped++
		return
	}
	addr := e.to.Address()
	queue := q.byAddr[addr]
	if len(queue) >= maxStreamsQueued {
		q.releaseLocked(queue[1])
		queue = slices.Delete(queue, 1, 2)
		q.dropped++
	}
	if q.holders[&e.data[0]]++; q.holders[&e.data[0]] == 1 {
		q.bytes += len(e.data)
	}
	if len(queue) == 0 {
		q.wg.Go(func() { q.sendAll(ctx, addr) })
	}
	q.byAddr[addr] = append(queue, e)
}

// sendAll sends what is queued for a host, until nothing is left.
func (q *streamQueues) sendAll(ctx context.Context, addr string) {
	for e, ok := q.first(addr); ok; e, ok = q.first(addr) {
		select {
		case q.tokens <- struct{}{}:
			q.send(e)
			<-q.tokens
		case <-ctx.Done():
		}
		q.remove(addr, e)
	}
}

func (q *streamQueues) first(addr string) (envelope, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.byAddr[addr]) == 0 {
		delete(q.byAddr, addr)
		return envelope{}, false
	}
	return q.byAddr[addr][0], true
}

func (q *streamQueues) remove(addr string, e envelope) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.releaseLocked(e)
	q.byAddr[addr] = slices.Delete(q.byAddr[addr], 0, 1)
}

func (q *streamQueues) releaseLocked(e envelope) {
	first := &e.data[0]
	if q.holders[first]--; q.holders[first] == 0 {
		delete(q.holders, first)
		q.bytes -= len(e.data)
	}
}

// Dropped counts the messages that were dropped.
func (q *streamQueues) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dropped
}

// Wait waits until all goroutines have ended.
func (q *streamQueues) Wait() { q.wg.Wait() }
