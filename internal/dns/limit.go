package dns

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// limits bound how much of something there may be at once.
type limits struct{ client, network, host int }

var (
	// forwardLimits bounds queries that are being forwarded. Each holds a goroutine and a
	// descriptor, about 10 KB. A client with 64 lookups under way has 128 queries, as a lookup asks
	// for both address families.
	forwardLimits = limits{client: 256, network: 512, host: 1024}
	// forwardQueueLimits bounds queries that wait to be forwarded. Each holds a goroutine, about 4
	// KB.
	forwardQueueLimits = limits{client: 512, network: 1024, host: 2048}
	// connLimits bounds TCP connections that are served. A client needs one (RFC 7766, section
	// 6.2.2), but several programs may share an address.
	connLimits = limits{client: 64, network: 256, host: 512}
	// connQueueLimits bounds TCP connections that wait to be served.
	connQueueLimits = limits{client: 256, network: 512, host: 1024}
)

// limitReportInterval is how long a limit must not have been reached before it is logged again, so
// that a container which keeps asking too much is one line in the log.
const limitReportInterval = time.Minute

// usage counts against limits.
type usage struct {
	limits
	clients  map[client]int
	networks map[string]int
	total    int
}

// client is the sender of queries.
type client struct {
	network string
	addr    netip.Addr
}

func newUsage(l limits) usage {
	return usage{limits: l, clients: make(map[client]int), networks: make(map[string]int)}
}

func (u *usage) hasRoom(c client) bool {
	return u.clients[c] < u.client && u.networks[c.network] < u.network && u.total < u.host
}

func (u *usage) adjust(c client, n int) {
	u.total += n
	if u.networks[c.network] += n; u.networks[c.network] == 0 {
		delete(u.networks, c.network)
	}
	if u.clients[c] += n; u.clients[c] == 0 {
		delete(u.clients, c)
	}
}

// limiter hands out slots within limits, so that a container can exhaust neither its network's
// resolver nor the host. A source address can be forged within a network, so the network as a whole
// has a limit too. Who finds no slot free waits for one, and clients that wait take turns.
type limiter struct {
	mu      sync.Mutex
	active  usage
	waiting usage
	queues  map[client][]*limitSlot
	turns   []client             // with a queue, the next one first
	reached map[string]time.Time // when a network last reached a limit
}

// limitSlot is a client's permission, which it has or waits for.
type limitSlot struct {
	*limiter
	client
	granted chan struct{} // closed when the client has it
}

func newLimiter(active, waiting limits) *limiter {
	return &limiter{
		active: newUsage(active), waiting: newUsage(waiting),
		queues: make(map[client][]*limitSlot), reached: make(map[string]time.Time),
	}
}

// request returns a slot for the client, or one to wait for. It returns false if too many wait
// already.
func (l *limiter) request(c client) (*limitSlot, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &limitSlot{l, c, make(chan struct{})}
	if len(l.queues[c]) == 0 && l.active.hasRoom(c) {
		l.grantLocked(s)
		return s, true
	}
	if !l.waiting.hasRoom(c) {
		return nil, false
	}
	l.waiting.adjust(c, 1)
	if len(l.queues[c]) == 0 {
		l.turns = append(l.turns, c)
	}
	l.queues[c] = append(l.queues[c], s)
	return s, true
}

func (l *limiter) grantLocked(s *limitSlot) {
	l.active.adjust(s.client, 1)
	close(s.granted)
}

// wait waits until the client has the slot. It returns false if ctx is done before.
func (s *limitSlot) wait(ctx context.Context) bool {
	select {
	case <-s.granted:
		return true
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.queues[s.client], s)
	if i < 0 {
		return true // it was granted meanwhile
	}
	s.leaveQueueLocked(s.client, i)
	return false
}

// leaveQueueLocked takes the slot at index i out of the client's queue.
func (l *limiter) leaveQueueLocked(c client, i int) {
	l.waiting.adjust(c, -1)
	l.queues[c] = slices.Delete(l.queues[c], i, i+1)
	if len(l.queues[c]) == 0 {
		delete(l.queues, c)
		l.turns = slices.DeleteFunc(l.turns, func(o client) bool { return o == c })
	}
}

// release gives the slot to the next client that waits and has room for it.
func (s *limitSlot) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active.adjust(s.client, -1)
	i := slices.IndexFunc(s.turns, s.active.hasRoom)
	if i < 0 {
		return
	}
	c := s.turns[i]
	next := s.queues[c][0]
	s.leaveQueueLocked(c, 0)
	if len(s.queues[c]) > 0 { // behind the other clients
		s.turns = append(slices.Delete(s.turns, i, i+1), c)
	}
	s.grantLocked(next)
}

// noteReached notes that a network has reached a limit. It tells whether that is worth a line in
// the log.
func (l *limiter) noteReached(network string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, before := l.reached[network]
	l.reached[network] = time.Now()
	return !before || time.Since(last) > limitReportInterval
}
