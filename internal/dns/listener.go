package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	// idleTimeout is how long a TCP connection may be without a whole query, and how long a client
	// may take to read an answer. RFC 7766, section 6.2.3, recommends a few seconds; for another
	// query the client opens another connection.
	idleTimeout = 5 * time.Second
	// connWaitTimeout is how long a connection may wait until others of its client, or of its
	// network, are closed.
	connWaitTimeout = 2 * time.Second
	// socketErrorPause follows an error of a socket that may occur again at once, such as a lack of
	// memory.
	socketErrorPause = 100 * time.Millisecond
)

// listener answers queries at one address of one zone.
type listener struct {
	sockets
	server *Server
	zone   *servedZone
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func (s *Server) startListener(z *servedZone, opened sockets) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{sockets: opened, server: s, zone: z, ctx: ctx, cancel: cancel}
	l.wg.Go(l.serveUDP)
	l.wg.Go(l.serveTCP)
	return l
}

// close abandons queries in progress, as their zone is gone, and waits until nothing uses the
// sockets.
func (l *listener) close() {
	l.cancel()
	l.udp.Close()
	l.tcp.Close()
	l.wg.Wait()
}

// serveUDP answers datagrams one after the other, as that takes microseconds. Only queries that are
// forwarded get a goroutine each.
func (l *listener) serveUDP() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := l.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if l.waitAfterError("read", err) {
				return
			}
			continue
		}
		reply, q := answerQuery(l.zone.viewsFor(from.Addr()), buf[:n], false)
		if q == nil {
			l.server.queries.countReply(reply)
			l.sendReply(reply, from)
			continue
		}
		c := client{l.zone.network, from.Addr()}
		slot, ok := l.server.forwardLimit.request(c)
		if !ok {
			l.sendReply(l.refuseQuery(q, c), from)
			continue
		}
		l.wg.Go(func() { l.sendReply(l.forwardInSlot(q, slot), from) })
	}
}

// sendReply sends a reply, if there is one. If that fails, the client asks again.
func (l *listener) sendReply(wire []byte, to netip.AddrPort) {
	if wire == nil {
		return
	}
	if _, err := l.udp.WriteToUDPAddrPort(wire, to); err != nil && l.ctx.Err() == nil {
		l.server.log.Debug("send answer", "network", l.zone.network, "to", to, "error", err)
	}
}

// serveTCP gives each connection a goroutine.
func (l *listener) serveTCP() {
	for {
		conn, err := l.tcp.AcceptTCP()
		if err != nil {
			if l.waitAfterError("accept", err) {
				return
			}
			continue
		}
		c := client{l.zone.network, conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()}
		slot, ok := l.server.connLimit.request(c)
		if !ok {
			conn.Close()
			l.reportLimit(l.server.connLimit, c, "connections")
			continue
		}
		l.wg.Go(func() { l.serveInSlot(conn, slot) })
	}
}

// serveInSlot serves a connection as soon as it has its slot.
func (l *listener) serveInSlot(conn net.Conn, s *limitSlot) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(l.ctx, connWaitTimeout)
	defer cancel()
	if !s.wait(ctx) {
		l.reportLimit(l.server.connLimit, s.client, "connections")
		return
	}
	defer s.release()
	defer context.AfterFunc(l.ctx, func() { conn.Close() })()
	l.serveConn(conn, s.client)
}

// serveConn answers queries on a connection, one after the other, until the client is idle or sends
// what must not be replied to.
func (l *listener) serveConn(conn net.Conn, c client) {
	for {
		conn.SetDeadline(time.Now().Add(idleTimeout)) // for the whole message, so that a byte a second does not keep it open
		wire, err := receiveMessage(conn, true)
		if err != nil {
			return
		}
		reply, q := answerQuery(l.zone.viewsFor(c.addr), wire, true)
		if q != nil {
			reply = l.forwardLimited(q, c)
		} else {
			l.server.queries.countReply(reply)
		}
		if reply == nil {
			return
		}
		conn.SetDeadline(time.Now().Add(idleTimeout))
		if sendMessage(conn, reply, true) != nil {
			return
		}
	}
}

// forwardLimited forwards a query, unless too many are being forwarded or wait for it.
func (l *listener) forwardLimited(q *query, c client) []byte {
	slot, ok := l.server.forwardLimit.request(c)
	if !ok {
		return l.refuseQuery(q, c)
	}
	return l.forwardInSlot(q, slot)
}

// forwardInSlot forwards a query as soon as it has its slot.
func (l *listener) forwardInSlot(q *query, s *limitSlot) []byte {
	ctx, cancel := context.WithDeadline(l.ctx, q.deadline)
	defer cancel()
	if !s.wait(ctx) {
		return l.refuseQuery(q, s.client)
	}
	defer s.release()
	reply := l.server.forwarder.forward(l.ctx, q, q.upstreams)
	l.server.queries.countForwarded(reply)
	return reply
}

// refuseQuery answers a query that is one too many.
func (l *listener) refuseQuery(q *query, c client) []byte {
	l.server.queries.limited.Add(1)
	l.reportLimit(l.server.forwardLimit, c, "queries for names outside")
	return q.failWith(dns.RcodeServerFailure)
}

// reportLimit logs that a container asks for too much, once for as long as it does.
func (l *listener) reportLimit(limit *limiter, c client, what string) {
	if l.ctx.Err() == nil && limit.noteReached(c.network) {
		l.server.log.Warn("too many "+what+" at once; some are refused", "network", c.network, "client", c.addr)
	}
}

// waitAfterError pauses after a socket's error. It tells whether the socket is closed.
func (l *listener) waitAfterError(action string, err error) bool {
	if l.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return true
	}
	l.server.socketErrors.Report(l.zone.network, l.udp.LocalAddr(), action, err)
	select {
	case <-l.ctx.Done():
	case <-time.After(socketErrorPause):
	}
	return l.ctx.Err() != nil
}
