package gossip

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// guard stands between the wire and memberlist. The library checks a sender's
// address only for some messages, reads up to 20 MB from anybody before it knows
// whether the key is right, and sends without a deadline; here is what it lacks.
type guard struct {
	memberlist.NodeAwareTransport
	permits  func(netip.Addr) bool
	counters *counters
	packets  chan *memberlist.Packet
	streams  chan net.Conn
	ctx      context.Context // done when the transport is shut down
	stop     context.CancelFunc

	mu   sync.Mutex
	open map[netip.Addr]int // streams, by sender
	all  int
}

// Limits on incoming streams. A host opens one for a record, a push-pull or a
// ping that found no answer, and all others may do so at once when it starts.
const (
	maxStreams     = 256
	maxStreamsHost = 16      // from one address
	maxStreamBytes = 4 << 20 // four full messages, or 4,096 hosts' digests
)

func newGuard(t memberlist.NodeAwareTransport, permits func(netip.Addr) bool, c *counters) *guard {
	ctx, cancel := context.WithCancel(context.Background())
	g := &guard{
		NodeAwareTransport: t, permits: permits, counters: c,
		packets: make(chan *memberlist.Packet),
		streams: make(chan net.Conn),
		ctx:     ctx, stop: cancel,
		open: make(map[netip.Addr]int),
	}
	go g.pumpPackets()
	go g.pumpStreams()
	return g
}

// PacketCh returns the packets that passed.
func (g *guard) PacketCh() <-chan *memberlist.Packet { return g.packets }

// StreamCh returns the streams that passed.
func (g *guard) StreamCh() <-chan net.Conn { return g.streams }

// Shutdown stops the transport first, which waits until what it has in hand is
// taken.
func (g *guard) Shutdown() error {
	err := g.NodeAwareTransport.Shutdown()
	g.stop()
	return err
}

// DialAddressTimeout connects, and bounds what is done with the stream: by a
// deadline, and by Shutdown, so that an agent ends at once.
func (g *guard) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	dialled := make(chan result, 1)
	go func() {
		conn, err := g.NodeAwareTransport.DialAddressTimeout(a, timeout)
		dialled <- result{conn, err}
		if g.ctx.Err() != nil && err == nil {
			_ = conn.Close() // nobody waits for it any more
		}
	}()
	select {
	case r := <-dialled:
		if r.err != nil {
			return nil, r.err
		}
		stop := context.AfterFunc(g.ctx, func() { _ = r.conn.Close() })
		s := &stream{Conn: r.conn, left: maxStreamBytes, done: func() { stop() }}
		if err := s.SetDeadline(time.Now().Add(streamTimeout)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return s, nil
	case <-g.ctx.Done():
		return nil, net.ErrClosed
	}
}

// DialTimeout is DialAddressTimeout for callers that have no name.
func (g *guard) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (g *guard) pumpPackets() {
	for {
		select {
		case p := <-g.NodeAwareTransport.PacketCh():
			if _, ok := g.admit(p.From); !ok {
				continue
			}
			// memberlist reads into 64 kB, and keeps that while the packet waits
			// for its turn, of which there may be a thousand.
			p.Buf = bytes.Clone(p.Buf)
			select {
			case g.packets <- p:
			case <-g.ctx.Done():
				return
			}
		case <-g.ctx.Done():
			return
		}
	}
}

func (g *guard) pumpStreams() {
	for {
		select {
		case conn := <-g.NodeAwareTransport.StreamCh():
			from, ok := g.admit(conn.RemoteAddr())
			if ok {
				ok = g.acquire(from)
			}
			if !ok {
				_ = conn.Close() // nothing was said on it
				continue
			}
			bounded := &stream{Conn: conn, left: maxStreamBytes, done: func() { g.release(from) }}
			select {
			case g.streams <- bounded:
			case <-g.ctx.Done():
				_ = bounded.Close() // nobody is left to hear about it
				return
			}
		case <-g.ctx.Done():
			return
		}
	}
}

// admit tells who sends, and whether it may.
func (g *guard) admit(from net.Addr) (netip.Addr, bool) {
	ap, err := netip.ParseAddrPort(from.String())
	addr := ap.Addr().Unmap().WithZone("")
	if err != nil || !g.permits(addr) {
		g.counters.refuse(unlisted, "from "+from.String())
		return addr, false
	}
	return addr, true
}

func (g *guard) acquire(from netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.all >= maxStreams || g.open[from] >= maxStreamsHost {
		g.counters.refuse(overload, "stream from "+from.String())
		return false
	}
	g.all++
	g.open[from]++
	return true
}

func (g *guard) release(from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.all--
	if g.open[from]--; g.open[from] == 0 {
		delete(g.open, from)
	}
}

// stream is a connection from which only so much is read.
type stream struct {
	net.Conn
	left int
	once sync.Once
	done func()
}

// Read ends the stream at its limit.
func (s *stream) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.Conn.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// Close gives the stream's place free.
func (s *stream) Close() error {
	s.once.Do(s.done)
	return s.Conn.Close()
}
