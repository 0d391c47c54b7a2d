package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// budget for an answer from upstreams. The C library waits 5 s before it asks
	// again; a SERVFAIL that arrives sooner is one it can act on.
	budget = 4500 * time.Millisecond
	// patience with one upstream, less where there are many.
	patience = 2 * time.Second
	// rounds over the upstreams: a datagram can get lost.
	rounds = 2
	// shunned is how long an upstream that did not answer is asked last, so that a
	// dead first one does not delay each lookup by its patience.
	shunned = 10 * time.Second
)

// forwarder asks upstreams.
type forwarder struct {
	log  *slog.Logger
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu    sync.Mutex
	until map[netip.AddrPort]time.Time // when an upstream is no longer shunned
}

func newForwarder(log *slog.Logger) *forwarder {
	return &forwarder{log: log, dial: new(net.Dialer).DialContext, until: make(map[netip.AddrPort]time.Time)}
}

// ask returns the answer for a client: an upstream's, or one that says that there
// is none.
func (f *forwarder) ask(ctx context.Context, q *query, upstreams []netip.AddrPort) []byte {
	wire, err := q.onward()
	if err != nil {
		return q.fail(dns.RcodeFormatError) // not known to happen
	}
	start, wait := time.Now(), min(patience, budget/time.Duration(len(upstreams)))
	for range rounds {
		var refused []byte
		for _, u := range f.order(upstreams) {
			if ctx.Err() != nil || time.Since(start)+wait > budget {
				break
			}
			answer, err := f.try(ctx, u, q, wire, wait)
			if err == nil && passes(answer) {
				return q.hideAbsence(answer)
			}
			if err == nil {
				refused = answer
			}
		}
		if refused != nil {
			return refused
		}
	}
	return q.fail(dns.RcodeServerFailure)
}

// order puts upstreams that lately did not answer behind the others.
func (f *forwarder) order(upstreams []netip.AddrPort) []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	var first, last []netip.AddrPort
	for _, u := range upstreams {
		if now.Before(f.until[u]) {
			last = append(last, u)
		} else {
			first = append(first, u)
		}
	}
	return slices.Concat(first, last)
}

func (f *forwarder) try(ctx context.Context, u netip.AddrPort, q *query, wire []byte, wait time.Duration) ([]byte, error) {
	one, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answer, err := f.exchange(one, u, q, wire)
	if ctx.Err() == nil { // else nobody waited for it
		f.note(u, err)
	}
	return answer, err
}

// note remembers whether an upstream answered. Only changes are logged, since
// containers ask as often as they like.
func (f *forwarder) note(u netip.AddrPort, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.until[u]
	switch {
	case err != nil:
		f.until[u] = time.Now().Add(shunned)
		if !known {
			f.log.Warn("name server does not answer", "server", u, "error", err)
		}
	case known:
		delete(f.until, u)
		f.log.Info("name server answers again", "server", u)
	}
}

// exchange asks one upstream over the transport that the client used: an answer
// that does not fit in UDP makes the client come back over TCP. Each question has
// a socket of its own: with the port that the kernel picks, and a random id, it is
// hard to guess, and being connected it takes nothing from other addresses.
func (f *forwarder) exchange(ctx context.Context, u netip.AddrPort, q *query, wire []byte) ([]byte, error) {
	conn, err := f.dial(ctx, q.network(), u.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	wire = bytes.Clone(wire)
	binary.BigEndian.PutUint16(wire, uint16(rand.Uint32())) // ChaCha8, seeded by the kernel
	if err := send(conn, wire, q.tcp); err != nil {
		return nil, err
	}
	for {
		got, err := receive(conn, q.tcp)
		if err != nil {
			return nil, err
		}
		// Anything else is somebody's guess, and the answer may still come.
		if answer, ok := q.relay(got, wire); ok {
			return answer, nil
		}
	}
}

func (q *query) network() string {
	if q.tcp {
		return "tcp"
	}
	return "udp"
}

// passes says whether an answer is worth giving to the client while another
// upstream may have a better one; the C library goes on after the same codes.
func passes(answer []byte) bool {
	switch answer[3] & codes {
	case dns.RcodeServerFailure, dns.RcodeNotImplemented, dns.RcodeRefused:
		return false
	}
	return true
}

// hideAbsence puts a denial of this package in the place of one for a name of a
// single label: the root's may be kept for a day, and the next container may have
// that name.
func (q *query) hideAbsence(answer []byte) []byte {
	if answer[3]&codes != dns.RcodeNameError || strings.Contains(key(q.question().Name), ".") {
		return answer
	}
	return q.pack(q.negative(dns.RcodeNameError))
}
