package dns

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// pipeToZone serves one connection for a zone, without sockets.
func pipeToZone(t *testing.T, z Zone) (net.Conn, *Server) {
	live := &servedZone{network: z.Network}
	live.view.Store(newView(z, nil))
	l := &listener{server: New(slog.New(slog.DiscardHandler)), zone: live, ctx: t.Context()}
	l.server.forwarder.dial = func(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		l.serveConn(far, client{z.Network, netip.Addr{}})
	}()
	return near, l.server
}

// timeUntilClosed waits until the other side closes, and returns how long that took.
func timeUntilClosed(t *testing.T, conn net.Conn) time.Duration {
	start := time.Now()
	if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %d bytes, %v", n, err)
	}
	return time.Since(start)
}

func TestIdleConnectionIsClosed(t *testing.T) {
	wire, _ := question("web", dns.TypeA).Pack()
	for what, c := range map[string]struct {
		do   func(net.Conn)
		want time.Duration
	}{
		"that says nothing":   {func(net.Conn) {}, idleTimeout},
		"after an answer":     {func(c net.Conn) { time.Sleep(idleTimeout - 1); sendMessage(c, wire, true); receiveMessage(c, true) }, idleTimeout},
		"that says an answer": {func(c net.Conn) { w := append([]byte{}, wire...); w[2] |= flagResponse; sendMessage(c, w, true) }, 0},
		"that trickles": {func(c net.Conn) {
			c.Write([]byte{1, 0})
			for range idleTimeout/time.Second - 1 {
				time.Sleep(time.Second)
				c.Write([]byte{0})
			}
		}, time.Second},
		"that does not read": {func(c net.Conn) { sendMessage(c, wire, true); time.Sleep(idleTimeout + 1) }, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			conn, _ := pipeToZone(t, testZone())
			defer conn.Close()
			c.do(conn)
			if got := timeUntilClosed(t, conn); got != c.want {
				t.Errorf("a connection %s is closed after %v, want %v", what, got, c.want)
			}
		})
	}
}

// A client whose query took long to answer still has its time to read the answer.
func TestSlowUpstreamLeavesClientTimeToRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, s := pipeToZone(t, testZone())
		defer conn.Close()
		s.forwarder.dial = func(context.Context, string, string) (net.Conn, error) {
			time.Sleep(time.Second)
			return nil, io.EOF
		}
		time.Sleep(idleTimeout - time.Second)
		wire, _ := question("example.com", dns.TypeA).Pack()
		if err := sendMessage(conn, wire, true); err != nil {
			t.Fatal(err)
		}
		if got, err := receiveMessage(conn, true); err != nil || mustUnpack(t, got).Rcode != dns.RcodeServerFailure {
			t.Errorf("got %x, %v", got, err)
		}
	})
}

func TestQuestionsOnOneConnectionAreAnsweredInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := pipeToZone(t, testZone())
		defer conn.Close()
		names := []string{"web", "example.com", "a", "nobody.dns.podman"} // the second fails at the upstream
		go func() {
			for _, name := range names {
				wire, _ := question(name, dns.TypeA).Pack()
				sendMessage(conn, wire, true)
			}
		}()
		for i, want := range []string{"NOERROR, A 10.0.0.2", "SERVFAIL", "NOERROR, A 10.0.0.3", "NXDOMAIN, SOA of dns.podman."} {
			wire, err := receiveMessage(conn, true)
			if err != nil {
				t.Fatal(err)
			}
			if m := mustUnpack(t, wire); m.Question[0].Name != names[i]+"." || formatAnswer(m) != want {
				t.Errorf("answer %d: %s to %s", i, formatAnswer(m), m.Question[0].Name)
			}
		}
	})
}

// Descriptors that are short fail ten times a second, for each listener.
func TestSocketErrorsAreLoggedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := New(slog.New(slog.NewTextHandler(&log, nil)))
		for range int(2*time.Minute/socketErrorPause) - 1 {
			for _, network := range []string{"blue", "red"} {
				s.socketErrors.Report(network, &net.UDPAddr{}, "accept", syscall.EMFILE)
			}
			time.Sleep(socketErrorPause)
		}
		if got := log.String(); strings.Count(got, "level=WARN") != 2 || !strings.Contains(got, "LimitNOFILE") {
			t.Errorf("logged\n%s", got)
		}
	})
}
