package dns

import (
	"net/netip"
	"sync"
)

// limits are how many of something there may be at once.
type limits struct{ client, network, host int }

var (
	// forwardLimits: each question on its way holds a goroutine and a descriptor,
	// about 10 KB. A client that asks 64 at once is no ordinary one; four such
	// leave the other networks most of the host's.
	forwardLimits = limits{client: 64, network: 256, host: 1024}
	// connLimits: a client needs one TCP connection (RFC 7766, section 6.2.2);
	// programs that know nothing of each other may share an address.
	connLimits = limits{client: 16, network: 128, host: 512}
)

// limiter keeps to limits, so that a container can exhaust neither its network's
// resolver nor the host. Since a source address can be forged within a network,
// the network as a whole has a limit too.
type limiter struct {
	limits
	mu       sync.Mutex
	clients  map[client]int
	networks map[string]int
	all      int
}

type client struct {
	network string
	addr    netip.Addr
}

func newLimiter(l limits) *limiter {
	return &limiter{limits: l, clients: make(map[client]int), networks: make(map[string]int)}
}

// acquire takes a place, if there is one.
func (l *limiter) acquire(c client) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients[c] >= l.limits.client || l.networks[c.network] >= l.network || l.all >= l.host {
		return false
	}
	l.add(c, 1)
	return true
}

func (l *limiter) release(c client) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(c, -1)
}

func (l *limiter) add(c client, n int) {
	l.all += n
	if l.networks[c.network] += n; l.networks[c.network] == 0 {
		delete(l.networks, c.network)
	}
	if l.clients[c] += n; l.clients[c] == 0 {
		delete(l.clients, c)
	}
}
