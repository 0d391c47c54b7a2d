package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// in runs fn in a namespace.
func in(t testing.TB, ns string, fn func() error) {
	t.Helper()
	if err := netns.Do(ns, fn); err != nil {
		t.Fatal(err)
	}
}

// ip runs the ip tool in a namespace.
func ip(t testing.TB, ns, args string) {
	t.Helper()
	in(t, ns, func() error {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		return nil
	})
}

// host is a namespace with bridges, each with a container.
type host struct {
	testing.TB
	ns string
}

func newHost(t testing.TB) host {
	h := host{t, netnstest.New(t)}
	ip(t, h.ns, "link set lo up")
	return h
}

// bridge makes a network with its gateway's addresses.
func (h host) bridge(name string, gateways ...string) {
	h.Helper()
	ip(h, h.ns, "link add "+name+" type bridge")
	for _, gateway := range gateways {
		ip(h, h.ns, "addr add "+gateway+" nodad dev "+name)
	}
	ip(h, h.ns, "link set "+name+" up")
}

// container makes a namespace with eth0 on a bridge, and routes everything to gateway.
func (h host) container(bridge, gateway string, addrs ...string) string {
	h.Helper()
	c := netnstest.New(h)
	port := "v" + bridge
	ip(h, h.ns, "link add "+port+" type veth peer name eth0 netns "+c)
	ip(h, h.ns, "link set "+port+" master "+bridge+" up")
	for _, addr := range addrs {
		ip(h, c, "addr add "+addr+" nodad dev eth0")
	}
	ip(h, c, "link set eth0 up")
	ip(h, c, "route add default via "+gateway)
	waitFor(h, c, "eth0", "state UP")
	waitFor(h, h.ns, port, "state UP", "state forwarding")
	waitFor(h, h.ns, bridge, "state UP")
	return c
}

// objectionTime waits until ip shows a link in these states, which the kernel brings
// about up to a second after a link has a carrier (linkwatch); meanwhile it drops.
func waitFor(t testing.TB, ns, link string, states ...string) {
	t.Helper()
	var out []byte
	for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(5 * time.Millisecond) {
		in(t, ns, func() (err error) {
			out, err = exec.Command("ip", "-d", "link", "show", link).CombinedOutput()
			return err
		})
		if !slices.ContainsFunc(states, func(s string) bool { return !strings.Contains(string(out), s) }) {
			return
		}
	}
	t.Fatalf("%s is not in the states %q: %s", link, states, out)
}

// server is a Server in the host's namespace.
func (h host) server() *Server {
	s := New(slog.New(slog.DiscardHandler))
	h.Cleanup(s.Close)
	return s
}

func (h host) set(s *Server, zones ...Zone) {
	h.Helper()
	in(h, h.ns, func() error { return s.Set(zones) })
}

// dial connects from a namespace.
func dial(t testing.TB, ns, network, to string) net.Conn {
	t.Helper()
	var conn net.Conn
	in(t, ns, func() (err error) {
		conn, err = net.DialTimeout(network, to, time.Second)
		return err
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

// answerTo asks over a connection and returns print's line, or the error.
func answerTo(conn net.Conn, name string, qtype uint16) string {
	m := question(name, qtype)
	wire, err := m.Pack()
	if err != nil {
		return err.Error()
	}
	tcp := conn.RemoteAddr().Network() == "tcp"
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if err := send(conn, wire, tcp); err != nil {
		return err.Error()
	}
	got, err := receive(conn, tcp)
	if err != nil {
		return err.Error()
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(got); err != nil {
		return err.Error()
	}
	if answer.Id != m.Id {
		return "another id"
	}
	return print(answer)
}

// one is a zone of one container.
func one(network, device, listen, name, addr string) Zone {
	return Zone{
		Network: network, Device: device, Addrs: addrs(strings.Fields(listen)...),
		Records: []Record{{Names: []string{name}, Addrs: addrs(addr)}},
	}
}

// upstream is a name server on the loopback address of this process's namespace,
// where forwarding happens. It says over what it was asked, after wait is closed.
func upstream(t testing.TB, wait chan struct{}) netip.AddrPort {
	t.Helper()
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		if wait != nil {
			<-wait
		}
		r := new(dns.Msg)
		r.SetReply(m)
		r.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{w.RemoteAddr().Network()}}}
		w.WriteMsg(r)
	})
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IP{127, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	at := udp.LocalAddr().(*net.UDPAddr).AddrPort()
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: handler}, {Listener: tcp, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		running.Go(func() { s.ActivateAndServe() })
		<-started
		t.Cleanup(func() { s.ShutdownContext(context.Background()) })
	}
	return at
}
