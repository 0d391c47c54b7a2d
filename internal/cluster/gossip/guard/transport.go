package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/cluster/gossip/refusal"
)

// Limits on incoming streams. A host opens one for a record, for a push-pull, or for a ping that
// got no answer. All others may do so at once when it starts.
const (
	maxStreams        = 256
	MaxStreamsPerAddr = 16
	maxStreamBytes    = 4 << 20 // four messages of the largest size, or the digests of 4,096 hosts
)

// StreamTimeout bounds each transfer. A megabyte passes a slow LAN in that time. It
// is not longer, since a host that vanished blocks its senders.
const StreamTimeout = 5 * time.Second

// dialTimeouts are those of the attempts to connect, one after the other. Linux repeats the first
// packet of a connection after a second only, so where packets are lost a new attempt is sooner.
// The last one is for hosts that are far away or slow.
var dialTimeouts = []time.Duration{
	200 * time.Millisecond, 200 * time.Millisecond, 200 * time.Millisecond, 200 * time.Millisecond, 700 * time.Millisecond,
}

// Transport filters the messages of another transport. memberlist checks a sender's address only
// for some messages. It reads up to 20 MB before it knows whether the key is right, and sends
// without a deadline. This transport adds what it lacks.
type Transport struct {
	memberlist.NodeAwareTransport
	permits  func(netip.Addr) bool
	refusals *refusal.Counter
	probes   *PortProbes
	packets  chan *memberlist.Packet
	streams  chan net.Conn
	notices  chan struct{}   // one token for each notice that is being sent
	ctx      context.Context // done when the transport is shut down
	cancel   context.CancelFunc

	mu         sync.Mutex
	openByAddr map[netip.Addr]int // incoming streams, by sender
	openTotal  int
}

// New returns a transport that passes on what comes from permitted addresses, and is no probe.
func New(t memberlist.NodeAwareTransport, permits func(netip.Addr) bool, r *refusal.Counter,
	probes *PortProbes) *Transport {
	ctx, cancel := context.WithCancel(context.Background())
	g := &Transport{
		NodeAwareTransport: t, permits: permits, refusals: r, probes: probes,
		packets: make(chan *memberlist.Packet),
		streams: make(chan net.Conn),
		notices: make(chan struct{}, maxNotices),
		ctx:     ctx, cancel: cancel,
		openByAddr: make(map[netip.Addr]int),
	}
	go g.pumpPackets()
	go g.pumpStreams()
	return g
}

// PacketCh returns the packets that passed.
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh returns the streams that passed.
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// Shutdown stops the inner transport first, which waits until what it has received is taken.
func (t *Transport) Shutdown() error {
	err := t.NodeAwareTransport.Shutdown()
	t.cancel()
	return err
}

func (t *Transport) pumpPackets() {
	for {
		select {
		case p := <-t.NodeAwareTransport.PacketCh():
			if t.probes.takePacket(p.Buf) {
				continue
			}
			if _, ok := t.admit(p.From); !ok {
				continue
			}
			select {
			case t.packets <- p:
			case <-t.ctx.Done():
				return
			}
		case <-t.ctx.Done():
			return
		}
	}
}

func (t *Transport) pumpStreams() {
	for {
		select {
		case conn := <-t.NodeAwareTransport.StreamCh():
			if t.probes.takesStream(addrOf(conn.RemoteAddr())) {
				_ = conn.Close() // that it was opened is all that its sender wants to know
				continue
			}
			from, ok := t.admit(conn.RemoteAddr())
			if !ok {
				t.refuseWithNotice(conn, from)
				continue
			}
			if !t.acquireStream(from) {
				_ = conn.Close() // nothing was sent on it
				continue
			}
			limited := &limitedStream{Conn: conn, left: maxStreamBytes, onClose: func() { t.releaseStream(from) }}
			select {
			case t.streams <- limited:
			case <-t.ctx.Done():
				_ = limited.Close() // nobody is left to report an error to
				return
			}
		case <-t.ctx.Done():
			return
		}
	}
}

// admit returns the sender's address, and whether it may send.
func (t *Transport) admit(from net.Addr) (netip.Addr, bool) {
	addr := addrOf(from)
	if !addr.IsValid() || !t.permits(addr) {
		t.refusals.AddFrom(refusal.ReasonUnlisted, addr, "from "+from.String()+"; if it is one of the hosts, "+
			"add it to remote_ips here")
		return addr, false
	}
	return addr, true
}

// addrOf returns the address of a sender, if it is one of IP.
func addrOf(from net.Addr) netip.Addr {
	var ap netip.AddrPort
	switch from := from.(type) {
	case *net.UDPAddr:
		ap = from.AddrPort()
	case *net.TCPAddr:
		ap = from.AddrPort()
	}
	return ap.Addr().Unmap().WithZone("")
}

func (t *Transport) acquireStream(from netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.openTotal >= maxStreams || t.openByAddr[from] >= MaxStreamsPerAddr {
		t.refusals.AddFrom(refusal.ReasonOverload, from, "stream from "+from.String())
		return false
	}
	t.openTotal++
	t.openByAddr[from]++
	return true
}

func (t *Transport) releaseStream(from netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.openTotal--
	if t.openByAddr[from]--; t.openByAddr[from] == 0 {
		delete(t.openByAddr, from)
	}
}

// DialAddressTimeout connects. A deadline bounds what is done with the stream. Shutdown ends it, so
// that an agent stops at once.
func (t *Transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	dialled := make(chan result, 1)
	go func() {
		conn, err := t.dialRepeatedly(a, timeout)
		dialled <- result{conn, err}
		if t.ctx.Err() != nil && err == nil {
			_ = conn.Close() // nobody waits for it any more
		}
	}()
	select {
	case r := <-dialled:
		if r.err != nil {
			return nil, fmt.Errorf("%s: %w", unreachableText, r.err)
		}
		stop := context.AfterFunc(t.ctx, func() { _ = r.conn.Close() })
		s := &limitedStream{Conn: r.conn, left: maxStreamBytes, onClose: func() { stop() }, dialled: true}
		if err := s.SetDeadline(time.Now().Add(StreamTimeout)); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		return s, nil
	case <-t.ctx.Done():
		return nil, net.ErrClosed
	}
}

// dialRepeatedly connects. It gives up when the other end refuses, or does not answer in time.
func (t *Transport) dialRepeatedly(a memberlist.Address, timeout time.Duration) (conn net.Conn, err error) {
	began := time.Now()
	for _, wait := range dialTimeouts {
		left := timeout - time.Since(began)
		if left <= 0 || t.ctx.Err() != nil {
			break
		}
		conn, err = t.NodeAwareTransport.DialAddressTimeout(a, min(wait, left))
		if netErr := net.Error(nil); err == nil || !errors.As(err, &netErr) || !netErr.Timeout() {
			return conn, err
		}
	}
	return conn, cmp.Or(err, os.ErrDeadlineExceeded)
}

// DialTimeout is DialAddressTimeout for callers that have no name.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// unreachableText begins the error of a connection that could not be opened.
const unreachableText = "no connection"

// IsUnreachable tells whether an error's text says that no connection could be opened, or that its
// other end was silent. The kernel accepts connections for an agent that hangs.
func IsUnreachable(text string) bool {
	return strings.Contains(text, unreachableText) || strings.Contains(text, os.ErrDeadlineExceeded.Error())
}

// limitedStream is a connection of which only so many bytes are read.
type limitedStream struct {
	net.Conn
	left    int
	once    sync.Once
	onClose func()
	// dialled tells that this host opened the connection. Its other end may send a notice.
	dialled bool
}

// Read fails once the limit is reached.
func (s *limitedStream) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.Conn.Read(p[:min(len(p), s.left)])
	s.left -= n
	if s.dialled {
		if notice, ok := parseNotice(p[:n]); ok {
			return 0, notice
		}
		s.dialled = false // only the first bytes can be one
	}
	if n == 0 && errors.Is(err, io.EOF) && s.left == maxStreamBytes {
		return 0, errNothingSent
	}
	return n, err
}

// errNothingSent is the end of a stream on which nothing came: somebody only wanted to know whether the
// port can be reached, as vxlanctl doctor does. The library would take it for one of another cluster.
var errNothingSent = errors.New("nothing was sent on it")

// Close calls onClose too, the first time.
func (s *limitedStream) Close() error {
	s.once.Do(s.onClose)
	return s.Conn.Close()
}
