package dns

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// forwardTimeout is for an answer of any upstream. The C library asks again after 5 s; a
	// SERVFAIL that arrives before is of use to it.
	forwardTimeout = 4500 * time.Millisecond
	// upstreamTimeout is for an answer of one upstream; it is shorter if there are many.
	upstreamTimeout = 2 * time.Second
	// maxRounds is how often all upstreams are asked, as a datagram can get lost.
	maxRounds = 2
	// penaltyTime is how long an upstream that did not answer is asked last. Otherwise a dead first
	// one would delay each lookup by upstreamTimeout.
	penaltyTime = 10 * time.Second
)

// forwarder forwards queries to upstreams.
type forwarder struct {
	log  *slog.Logger
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu             sync.Mutex
	penalizedUntil map[netip.AddrPort]time.Time // only upstreams that did not answer the last query
}

func newForwarder(log *slog.Logger) *forwarder {
	return &forwarder{log: log, dial: new(net.Dialer).DialContext, penalizedUntil: make(map[netip.AddrPort]time.Time)}
}

// forward returns an answer for the client: an upstream's, or SERVFAIL if none answered.
func (f *forwarder) forward(ctx context.Context, q *query, upstreams []netip.AddrPort) []byte {
	var err error
	if q.forwarded, err = q.upstreamQuery(); err != nil {
		return q.failWith(dns.RcodeFormatError) // not known to happen
	}
	timeout := min(upstreamTimeout, forwardTimeout/time.Duration(len(upstreams)))
	for round := range maxRounds {
		var refused []byte
		for _, upstream := range f.orderUpstreams(upstreams) {
			// In the first round the last upstream gets what time the others left: a little less
			// than timeout.
			left := time.Until(q.deadline)
			if ctx.Err() != nil || left <= 0 || round > 0 && left < timeout {
				break
			}
			answer, err := f.tryUpstream(ctx, upstream, q, min(timeout, left))
			// Do not blame an upstream if the listener was closed, or if the query had waited so
			// long that little time was left.
			if ctx.Err() == nil && (err == nil || left > timeout/2) {
				f.noteOutcome(upstream, err)
			}
			if err == nil && isConclusive(answer) {
				return q.replaceDenial(answer)
			}
			if err == nil {
				refused = answer
			}
		}
		if refused != nil {
			return refused
		}
	}
	return q.failWith(dns.RcodeServerFailure)
}

// orderUpstreams puts upstreams that did not answer lately behind the others.
func (f *forwarder) orderUpstreams(upstreams []netip.AddrPort) []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var first, last []netip.AddrPort
	for _, u := range upstreams {
		if now.Before(f.penalizedUntil[u]) {
			last = append(last, u)
		} else {
			first = append(first, u)
		}
	}
	return slices.Concat(first, last)
}

// tryUpstream asks one upstream.
func (f *forwarder) tryUpstream(ctx context.Context, upstream netip.AddrPort, q *query,
	timeout time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f.exchange(ctx, upstream, q)
}

// noteOutcome remembers whether an upstream answered. One that did not is penalized. Only changes
// are logged, as containers may ask at any rate.
func (f *forwarder) noteOutcome(upstream netip.AddrPort, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, failedBefore := f.penalizedUntil[upstream]
	switch {
	case err != nil:
		f.penalizedUntil[upstream] = time.Now().Add(penaltyTime)
		if !failedBefore {
			f.log.Warn("name server does not answer", "server", upstream, "error", err)
		}
	case failedBefore:
		delete(f.penalizedUntil, upstream)
		f.log.Info("name server answers again", "server", upstream)
	}
}

// isConclusive tells whether no other upstream needs to be asked. The C library tries the next
// server after the same codes.
func isConclusive(answer []byte) bool {
	switch answer[3] & maskRcode {
	case dns.RcodeServerFailure, dns.RcodeNotImplemented, dns.RcodeRefused:
		return false
	}
	return true
}

// replaceDenial replaces an upstream's NXDOMAIN for a name of one label by one of our own. The
// root's may be cached for a day, and the next container may have that name.
func (q *query) replaceDenial(answer []byte) []byte {
	if answer[3]&maskRcode != dns.RcodeNameError || strings.Contains(lookupKey(q.question().Name), ".") {
		return answer
	}
	return q.packToFit(q.negativeAnswer(dns.RcodeNameError))
}
