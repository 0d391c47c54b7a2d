package dns

import (
	"net/netip"
	"sync"
)

// limits bound how much of something there may be at once.
type limits struct{ client, network, host int }

var (
	// forwardLimits bounds queries that are being forwarded. Each holds a goroutine and
	// a descriptor, about 10 KB. No ordinary client has 64 at once. Four that do leave
	// the other networks most of the host's limit.
	forwardLimits = limits{client: 64, network: 256, host: 1024}
	// connLimits bounds TCP connections. A client needs one (RFC 7766, section 6.2.2),
	// but several programs may share an address.
	connLimits = limits{client: 16, network: 128, host: 512}
)

// limiter counts against limits, so that a container can exhaust neither its network's
// resolver nor the host. A source address can be forged within a network, so the network
// as a whole has a limit too.
type limiter struct {
	limits
	mu       sync.Mutex
	clients  map[client]int
	networks map[string]int
	total    int
}

// client is the sender of queries.
type client struct {
	network string
	addr    netip.Addr
}

func newLimiter(l limits) *limiter {
	return &limiter{limits: l, clients: make(map[client]int), networks: make(map[string]int)}
}

// acquire takes one of what is limited. It returns false if there is none left.
func (l *limiter) acquire(c client) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients[c] >= l.limits.client || l.networks[c.network] >= l.network || l.total >= l.host {
		return false
	}
	l.adjust(c, 1)
	return true
}

// release gives back what acquire took.
func (l *limiter) release(c client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adjust(c, -1)
}

func (l *limiter) adjust(c client, n int) {
	l.total += n
	if l.networks[c.network] += n; l.networks[c.network] == 0 {
		delete(l.networks, c.network)
	}
	if l.clients[c] += n; l.clients[c] == 0 {
		delete(l.clients, c)
	}
}
