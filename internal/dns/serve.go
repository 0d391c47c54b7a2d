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
	// idle is how long a TCP connection may be without a whole question, and how
	// long a client may take to read an answer. RFC 7766, section 6.2.3, wants
	// seconds; a next question opens a next connection.
	idle = 5 * time.Second
	// pause after an error of a socket, such as no memory, that may come again at once.
	pause = 100 * time.Millisecond
)

// listener answers at one address for one zone.
type listener struct {
	sockets
	server  *Server
	zone    *zone
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (s *Server) serve(z *zone, socks sockets) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{sockets: socks, server: s, zone: z, ctx: ctx, cancel: cancel}
	l.running.Go(l.serveUDP)
	l.running.Go(l.serveTCP)
	return l
}

// close gives up questions under way, as their zone is gone, and waits until
// nothing uses the sockets.
func (l *listener) close() {
	l.cancel()
	l.udp.Close()
	l.tcp.Close()
	l.running.Wait()
}

// serveUDP answers datagrams one after the other, as that takes microseconds;
// only questions for upstreams get a goroutine each.
func (l *listener) serveUDP() {
	buf := make([]byte, datagram)
	for {
		n, from, err := l.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			if l.over("read", err) {
				return
			}
			continue
		}
		reply, q := answerFrom(l.zone.views(from.Addr()), buf[:n], false)
		if q == nil {
			l.reply(reply, from)
			continue
		}
		c := client{l.zone.network, from.Addr()}
		if !l.server.forwards.acquire(c) {
			l.reply(q.fail(dns.RcodeServerFailure), from)
			continue
		}
		l.running.Go(func() {
			defer l.server.forwards.release(c)
			l.reply(l.server.forwarder.ask(l.ctx, q, q.upstreams), from)
		})
	}
}

// reply sends an answer if there is one. Where that fails the client asks again.
func (l *listener) reply(wire []byte, to netip.AddrPort) {
	if wire == nil {
		return
	}
	if _, err := l.udp.WriteToUDPAddrPort(wire, to); err != nil && l.ctx.Err() == nil {
		l.server.log.Debug("send answer", "network", l.zone.network, "to", to, "error", err)
	}
}

func (l *listener) serveTCP() {
	for {
		conn, err := l.tcp.AcceptTCP()
		if err != nil {
			if l.over("accept", err) {
				return
			}
			continue
		}
		c := client{l.zone.network, conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr()}
		if !l.server.conns.acquire(c) {
			conn.Close()
			continue
		}
		l.running.Go(func() {
			defer l.server.conns.release(c)
			defer conn.Close()
			defer context.AfterFunc(l.ctx, func() { conn.Close() })()
			l.serveConn(conn, c)
		})
	}
}

// serveConn answers questions on a connection, one after the other, until the
// client is idle or sends what gets no answer.
func (l *listener) serveConn(conn net.Conn, c client) {
	for {
		conn.SetDeadline(time.Now().Add(idle)) // of the whole message, so that one byte a second does not hold it
		wire, err := receive(conn, true)
		if err != nil {
			return
		}
		reply, q := answerFrom(l.zone.views(c.addr), wire, true)
		if q != nil {
			reply = l.askLimited(q, c)
		}
		if reply == nil {
			return
		}
		conn.SetDeadline(time.Now().Add(idle))
		if send(conn, reply, true) != nil {
			return
		}
	}
}

func (l *listener) askLimited(q *query, c client) []byte {
	if !l.server.forwards.acquire(c) {
		return q.fail(dns.RcodeServerFailure)
	}
	defer l.server.forwards.release(c)
	return l.server.forwarder.ask(l.ctx, q, q.upstreams)
}

// over says whether a socket's error is its end. Others are waited out.
func (l *listener) over(what string, err error) bool {
	if l.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return true
	}
	l.server.log.Warn("name server socket", "network", l.zone.network, "on", l.udp.LocalAddr(), "action", what, "error", err)
	select {
	case <-l.ctx.Done():
	case <-time.After(pause):
	}
	return l.ctx.Err() != nil
}
