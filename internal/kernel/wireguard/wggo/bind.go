package wggo

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
)

// orderedBind hands wireguard-go the handshake messages of another host one at a time while this host has begun a
// handshake itself, and lets this host's go first.
//
// wireguard-go has a handshake worker for each processor, and looks too early whether a response is still wanted. If
// another worker answers the other host's initiation at that moment, this host stores a session whose number it does
// not know: it can send, and takes nothing that comes, until the session is renewed. And if each host answers the
// other's initiation, both have given their own up, and there is no session until the next try.
type orderedBind struct {
	conn.Bind

	// responses is how many responses wireguard-go deals with: only then do packets of data matter here.
	responses atomic.Int32

	mu        sync.Mutex
	exchanges map[netip.AddrPort]*exchange // by the other host's endpoint
	swept     time.Time
	released  chan message // that were held, for wireguard-go
	closed    chan struct{}
}

func newOrderedBind(b conn.Bind) *orderedBind {
	return &orderedBind{Bind: b, exchanges: make(map[netip.AddrPort]*exchange)}
}

// Open implements conn.Bind.
func (b *orderedBind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	fns, port, err := b.Bind.Open(port)
	if err != nil {
		return nil, 0, err
	}
	for i, receive := range fns {
		fns[i] = func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
			n, err := receive(packets, sizes, eps)
			for j := range n {
				if isHandshake(packets[j][:sizes[j]]) && !b.take(message{packets[j][:sizes[j]], eps[j]}) {
					sizes[j] = 0 // which wireguard-go ignores
				}
			}
			return n, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.released, b.closed = make(chan message, maxReleased), make(chan struct{})
	return append(fns, receiveReleased(b.released, b.closed)), port, nil
}

// maxReleased is how many messages that were held may wait for wireguard-go. As many wait in its own queue.
const maxReleased = device.QueueHandshakeSize

// receiveReleased receives the messages that were held.
func receiveReleased(released <-chan message, closed <-chan struct{}) conn.ReceiveFunc {
	return func(packets [][]byte, sizes []int, eps []conn.Endpoint) (int, error) {
		select {
		case m := <-released:
			sizes[0], eps[0] = copy(packets[0], m.data), m.end
			return 1, nil
		case <-closed:
			return 0, net.ErrClosed
		}
	}
}

// Close implements conn.Bind.
func (b *orderedBind) Close() error {
	b.mu.Lock()
	if b.closed != nil {
		close(b.closed)
		b.closed = nil
	}
	for peer := range b.exchanges {
		b.endLocked(peer)
	}
	b.mu.Unlock()
	return b.Bind.Close()
}

// Send implements conn.Bind.
func (b *orderedBind) Send(packets [][]byte, to conn.Endpoint) error {
	if len(packets) > 0 {
		b.noteSent(message{packets[0], to}) // all of data are of one session
	}
	return b.Bind.Send(packets, to)
}

// take tells whether wireguard-go gets a handshake message now. Otherwise it gets it later, unless that is of no use
// any more.
func (b *orderedBind) take(m message) (now bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.exchanges[m.endpoint()]
	if x == nil || !x.concerns(m) {
		return true // what wireguard-go does not want it ignores
	}
	m.data = slices.Clone(m.data)
	x.held = append(x.held, m)
	next, ok := b.nextLocked(x)
	if !ok {
		return false
	}
	if bytes.Equal(next.data, m.data) {
		return true
	}
	b.releaseLocked(next)
	return false
}

// noteSent notes what this host sends: it begins an exchange, or shows that wireguard-go has dealt with a message. By
// then the session is derived, so what else there is of the exchange would only disturb it.
func (b *orderedBind) noteSent(m message) {
	kind := m.kind()
	if kind == device.MessageTransportType && b.responses.Load() == 0 || kind == 0 {
		return
	}
	peer := m.endpoint()
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.exchanges[peer]
	switch {
	case kind == device.MessageInitiationType:
		b.endLocked(peer)
		b.sweepLocked()
		b.exchanges[peer] = newExchange(m)
	case x == nil || x.inWork == nil || m.receiver() != x.inWork.sender():
	case kind == device.MessageCookieReplyType: // it is too busy, and has done nothing
		b.setInWork(x, nil)
		b.advanceLocked(x)
	case kind == device.MessageResponseType || x.inWork.kind() == device.MessageResponseType:
		b.endLocked(peer)
	}
}

// advanceLocked hands over the next message if it is time.
func (b *orderedBind) advanceLocked(x *exchange) {
	if next, ok := b.nextLocked(x); ok {
		b.releaseLocked(next)
	}
}

// nextLocked returns the message that wireguard-go gets now, if there is one. Otherwise it is looked again when one is
// due.
func (b *orderedBind) nextLocked(x *exchange) (message, bool) {
	if x.inWork != nil && time.Since(x.workBegan) >= patience {
		b.setInWork(x, nil)
	}
	at, due := x.next()
	if at < 0 {
		return message{}, false
	}
	if wait := time.Until(due); wait > 0 {
		x.setTimer(wait, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.exchanges[x.peer] == x {
				b.advanceLocked(x)
			}
		})
		return message{}, false
	}
	m := x.held[at]
	x.held = slices.Delete(x.held, at, at+1)
	b.setInWork(x, &m)
	return m, true
}

func (b *orderedBind) releaseLocked(m message) {
	select {
	case b.released <- m:
	default: // dropped, as by wireguard-go's queue when that is full
	}
}

// setInWork notes which message of an exchange wireguard-go deals with.
func (b *orderedBind) setInWork(x *exchange, m *message) {
	isResponse := func(m *message) bool { return m != nil && m.kind() == device.MessageResponseType }
	if isResponse(x.inWork) {
		b.responses.Add(-1)
	}
	if isResponse(m) {
		b.responses.Add(1)
	}
	x.inWork, x.workBegan = m, time.Now()
}

// endLocked ends an exchange.
func (b *orderedBind) endLocked(peer netip.AddrPort) {
	if x := b.exchanges[peer]; x != nil {
		b.setInWork(x, nil)
		x.setTimer(0, nil)
		delete(b.exchanges, peer)
	}
}

// sweepLocked forgets exchanges with hosts that did not answer, and may have gone.
func (b *orderedBind) sweepLocked() {
	if time.Since(b.swept) < sweepInterval {
		return
	}
	b.swept = time.Now()
	for peer, x := range b.exchanges {
		if time.Since(x.began) >= sweepInterval {
			b.endLocked(peer)
		}
	}
}

// sweepInterval is much longer than wireguard-go waits for a response, which is five seconds.
const sweepInterval = time.Minute
