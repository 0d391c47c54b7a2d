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

// inNamespace runs fn in a namespace.
func inNamespace(t testing.TB, ns string, fn func() error) {
	t.Helper()
	if err := netns.Do(ns, fn); err != nil {
		t.Fatal(err)
	}
}

// runIP runs the ip tool in a namespace.
func runIP(t testing.TB, ns, args string) {
	t.Helper()
	inNamespace(t, ns, func() error {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
		return nil
	})
}

// testHost is a namespace with bridges, each with a container.
type testHost struct {
	testing.TB
	ns string
}

func newTestHost(t testing.TB) testHost {
	h := testHost{t, netnstest.New(t)}
	runIP(t, h.ns, "link set lo up")
	return h
}

// addBridge makes a network with its gateway's addresses.
func (h testHost) addBridge(name string, gateways ...string) {
	h.Helper()
	runIP(h, h.ns, "link add "+name+" type bridge")
	for _, gateway := range gateways {
		runIP(h, h.ns, "addr add "+gateway+" nodad dev "+name)
	}
	runIP(h, h.ns, "link set "+name+" up")
	netnstest.WaitForAddrs(h, h.ns)
}

// addContainer makes a namespace with eth0 on a bridge, and a default route to gateway.
func (h testHost) addContainer(bridge, gateway string, addrs ...string) string {
	h.Helper()
	c := netnstest.New(h)
	port := "v" + bridge
	runIP(h, h.ns, "link add "+port+" type veth peer name eth0 netns "+c)
	runIP(h, h.ns, "link set "+port+" master "+bridge+" up")
	for _, addr := range addrs {
		runIP(h, c, "addr add "+addr+" nodad dev eth0")
	}
	runIP(h, c, "link set eth0 up")
	runIP(h, c, "route add default via "+gateway)
	waitForLink(h, c, "eth0", "state UP")
	waitForLink(h, h.ns, port, "state UP", "state forwarding")
	waitForLink(h, h.ns, bridge, "state UP")
	netnstest.WaitForAddrs(h, c)
	return c
}

// waitForLink waits until ip shows a link in these states. The kernel sets them up to a second
// after a link has a carrier (linkwatch); until then it drops packets.
func waitForLink(t testing.TB, ns, link string, states ...string) {
	t.Helper()
	var out []byte
	for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(5 * time.Millisecond) {
		inNamespace(t, ns, func() (err error) {
			out, err = exec.Command("ip", "-d", "link", "show", link).CombinedOutput()
			return err
		})
		if !slices.ContainsFunc(states, func(s string) bool { return !strings.Contains(string(out), s) }) {
			return
		}
	}
	t.Fatalf("%s is not in the states %q: %s", link, states, out)
}

// newServer is a Server in the host's namespace.
func (h testHost) newServer() *Server {
	s := New(slog.New(slog.DiscardHandler))
	h.Cleanup(s.Close)
	return s
}

func (h testHost) setZones(s *Server, zones ...Zone) {
	h.Helper()
	inNamespace(h, h.ns, func() error { return s.Set(zones) })
}

// dialFrom connects from a namespace.
func dialFrom(t testing.TB, ns, network, to string) net.Conn {
	t.Helper()
	var conn net.Conn
	inNamespace(t, ns, func() (err error) {
		conn, err = net.DialTimeout(network, to, time.Second)
		return err
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

// askOver asks over a connection and returns the answer as one line, or the error.
func askOver(conn net.Conn, name string, qtype uint16) string {
	m := question(name, qtype)
	wire, err := m.Pack()
	if err != nil {
		return err.Error()
	}
	tcp := conn.RemoteAddr().Network() == "tcp"
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	if err := sendMessage(conn, wire, tcp); err != nil {
		return err.Error()
	}
	got, err := receiveMessage(conn, tcp)
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
	return formatAnswer(answer)
}

// zoneWithRecord is the zone of an internal network with one container.
func zoneWithRecord(network, device, listen, name, addr string) Zone {
	return Zone{
		Network: network, Device: device, Addrs: parseAddrs(strings.Fields(listen)...),
		Records: []Record{{Names: []string{name}, Addrs: parseAddrs(addr)}}, Internal: true,
	}
}

// startUpstream starts a name server on the loopback address of this process's namespace, from
// which queries are forwarded. It answers with the transport it was asked over, once wait is
// closed.
func startUpstream(t testing.TB, wait chan struct{}) netip.AddrPort {
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
