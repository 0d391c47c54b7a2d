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
	"golang.org/x/sys/unix"

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

// waitFor waits until ip shows a link in these states, which the kernel brings
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
		Endpoints: []Endpoint{{Names: []string{name}, Addrs: addrs(addr)}},
	}
}

func TestServesEachAddressOverUDPAndTCP(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24", "10.0.0.63/24", "fd00::1/64")
	c := h.container("br-red", "10.0.0.1", "10.0.0.2/24", "fd00::2/64")
	h.set(h.server(), one("red", "br-red", "10.0.0.1 10.0.0.63 fd00::1", "web", "10.0.0.2"))
	for _, network := range []string{"udp", "tcp"} {
		for _, addr := range []string{"10.0.0.1:53", "10.0.0.63:53", "[fd00::1]:53"} {
			conn := dial(t, c, network, addr)
			for range 2 { // on one connection
				if got := answerTo(conn, "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
					t.Errorf("%s %s: %s", network, addr, got)
				}
			}
		}
	}
}

func TestServesLinkLocalAddress(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24", "fe80::53/64")
	c := h.container("br-red", "10.0.0.1", "10.0.0.2/24", "fe80::2/64")
	h.set(h.server(), one("red", "br-red", "fe80::53", "web", "10.0.0.2"))
	var index int
	in(t, c, func() error {
		i, err := deviceIndex("eth0")
		index = int(i)
		return err
	})
	for _, network := range []string{"udp", "tcp"} {
		if got := answerTo(dial(t, c, network, fmt.Sprintf("[fe80::53%%%d]:53", index)), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
			t.Errorf("%s: %s", network, got)
		}
	}
}

// The control shows that the way to the address is open, so that it is the
// resolver that cannot be reached.
func TestResolverIsOnlyForItsOwnNetwork(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24", "fd00:0::1/64")
	h.bridge("br-blue", "10.1.0.1/24", "fd00:1::1/64")
	h.bridge("under", "198.18.0.1/24")
	red := h.container("br-red", "10.0.0.1", "10.0.0.2/24", "fd00:0::2/64")
	blue := h.container("br-blue", "10.1.0.1", "10.1.0.2/24", "fd00:1::2/64")
	under := h.container("under", "198.18.0.1", "198.18.0.2/24")
	ip(t, blue, "-6 route add default via fd00:1::1")
	h.set(h.server(), one("red", "br-red", "10.0.0.1 fd00::1", "web", "10.0.0.2"), one("blue", "br-blue", "10.1.0.1", "db", "10.1.0.2"))
	var control net.Listener
	in(t, h.ns, func() (err error) {
		control, err = net.Listen("tcp", ":1053")
		return err
	})
	defer control.Close()

	if got := answerTo(dial(t, red, "udp", "10.0.0.1:53"), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
		t.Fatalf("from its own network: %s", got)
	}
	// Linux counts what a host sends to its own address as received on that address's device.
	if got := answerTo(dial(t, h.ns, "udp", "10.0.0.1:53"), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
		t.Errorf("from the host, where an operator may ask: %s", got)
	}
	for from, ns := range map[string]string{"another network": blue, "the underlay": under} {
		for _, to := range []string{"10.0.0.1", "fd00::1"} {
			if to == "fd00::1" && ns == under {
				continue // it has no IPv6
			}
			dial(t, ns, "tcp", net.JoinHostPort(to, "1053"))
			if got := answerTo(dial(t, ns, "udp", net.JoinHostPort(to, "53")), "web", dns.TypeA); !strings.Contains(got, "connection refused") {
				t.Errorf("from %s over UDP to %s: %s", from, to, got)
			}
			err := netns.Do(ns, func() error {
				conn, err := net.DialTimeout("tcp", net.JoinHostPort(to, "53"), time.Second)
				if err == nil {
					conn.Close()
				}
				return err
			})
			if err == nil {
				t.Errorf("from %s over TCP to %s: connected", from, to)
			}
		}
	}
}

// Two networks may have the same subnet, and the same names in it.
func TestNamesDoNotLeakBetweenNetworks(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	h.bridge("br-blue", "10.0.0.1/24")
	red := h.container("br-red", "10.0.0.1", "10.0.0.2/24")
	zones := []Zone{one("red", "br-red", "10.0.0.1", "web", "10.0.0.2"), one("blue", "br-blue", "10.0.0.1", "web", "10.0.0.77")}
	zones[1].Endpoints = append(zones[1].Endpoints, Endpoint{Names: []string{"secret"}, Addrs: addrs("10.0.0.78")})
	for i := range zones {
		zones[i].Subnets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	}
	h.set(h.server(), zones...)
	for _, network := range []string{"udp", "tcp"} {
		conn := dial(t, red, network, "10.0.0.1:53")
		for name, want := range map[string]string{
			"web": "NOERROR, A 10.0.0.2", "secret": "NXDOMAIN, SOA of .", "secret.dns.podman": "NXDOMAIN, SOA of dns.podman.",
		} {
			if got := answerTo(conn, name, dns.TypeA); got != want {
				t.Errorf("%s %s: got %s, want %s", network, name, got, want)
			}
		}
		for _, addr := range []string{"10.0.0.77", "10.0.0.78"} {
			if got := answerTo(conn, reverse(addr), dns.TypePTR); got != "NXDOMAIN, SOA of ." {
				t.Errorf("%s names of %s: got %s", network, addr, got)
			}
		}
	}
}

func TestForwardsOverTheClientsTransport(t *testing.T) {
	up := upstream(t, nil)
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	c := h.container("br-red", "10.0.0.1", "10.0.0.2/24")
	z := one("red", "br-red", "10.0.0.1", "web", "10.0.0.2")
	z.Upstreams = []netip.AddrPort{up}
	h.set(h.server(), z)
	for network, want := range map[string]string{"udp": `NOERROR, TXT "udp"`, "tcp": `NOERROR, TXT "tcp"`} {
		if got := answerTo(dial(t, c, network, "10.0.0.1:53"), "example.com", dns.TypeTXT); got != want {
			t.Errorf("over %s: got %s", network, got)
		}
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

func TestRecordsChangeUnderOpenSockets(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	c := h.container("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.server()
	h.set(s, one("red", "br-red", "10.0.0.1", "web", "10.0.0.2"))
	before := s.zones["red"].listeners
	conn := dial(t, c, "tcp", "10.0.0.1:53")
	answerTo(conn, "web", dns.TypeA)
	sockets := fmt.Sprint(before)
	h.set(s, one("red", "br-red", "10.0.0.1", "web", "10.0.0.9"))
	if fmt.Sprint(s.zones["red"].listeners) != sockets {
		t.Error("sockets were opened anew")
	}
	if got := answerTo(conn, "web", dns.TypeA); got != "NOERROR, A 10.0.0.9" {
		t.Errorf("on the open connection: %s", got)
	}
}

// Each answer is of one state: both addresses old or both new.
func TestNoAnswerIsOfHalfAState(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	c := h.container("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.server()
	states := []Zone{one("red", "br-red", "10.0.0.1", "web", "10.0.0.2"), one("red", "br-red", "10.0.0.1", "web", "10.0.0.4")}
	for i := range states {
		states[i].Endpoints[0].Addrs = append(states[i].Endpoints[0].Addrs, states[i].Endpoints[0].Addrs[0].Next())
	}
	h.set(s, states[0])
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, conn := range []net.Conn{dial(t, c, "udp", "10.0.0.1:53"), dial(t, c, "tcp", "10.0.0.1:53")} {
		running.Go(func() {
			for {
				got := answerTo(conn, "web", dns.TypeA)
				if !slices.Contains([]string{"NOERROR, A 10.0.0.2, A 10.0.0.3", "NOERROR, A 10.0.0.3, A 10.0.0.2",
					"NOERROR, A 10.0.0.4, A 10.0.0.5", "NOERROR, A 10.0.0.5, A 10.0.0.4"}, got) {
					t.Errorf("got %s", got)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range 300 {
		h.set(s, states[i%2])
	}
	close(stop)
	running.Wait()
}

func TestSetOpensAndClosesWhatDiffers(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24", "10.0.0.63/24")
	h.bridge("br-blue", "10.1.0.1/24")
	s := h.server()
	red, blue := one("red", "br-red", "10.0.0.1", "web", "10.0.0.2"), one("blue", "br-blue", "10.1.0.1", "web", "10.1.0.2")
	both := red
	both.Addrs = addrs("10.0.0.63", "10.0.0.1")
	port := red
	port.Port = 1053
	moved := blue
	moved.Device, moved.Addrs = "br-red", addrs("10.0.0.1")
	for _, step := range []struct {
		what  string
		zones []Zone
		want  string
	}{
		{"one network", []Zone{red}, "[{red br-red 10.0.0.1 53}]"},
		{"the same", []Zone{red}, "[{red br-red 10.0.0.1 53}]"},
		{"another address", []Zone{both}, "[{red br-red 10.0.0.1 53} {red br-red 10.0.0.63 53}]"},
		{"another network", []Zone{both, blue}, "[{blue br-blue 10.1.0.1 53} {red br-red 10.0.0.1 53} {red br-red 10.0.0.63 53}]"},
		{"fewer", []Zone{red}, "[{red br-red 10.0.0.1 53}]"},
		{"another port", []Zone{port}, "[{red br-red 10.0.0.1 1053}]"},
		{"an address that went to another network", []Zone{moved}, "[{blue br-red 10.0.0.1 53}]"},
		{"none", nil, "[]"},
	} {
		h.set(s, step.zones...)
		if got := fmt.Sprint(s.Listening()); got != step.want {
			t.Errorf("%s: got %s, want %s", step.what, got, step.want)
		}
	}
}

func TestSetReportsWhatFailsAndDoesTheRest(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	s := h.server()
	zones := []Zone{
		one("gone", "br-gone", "10.1.0.1", "web", "10.1.0.2"), one("red", "br-red", "10.0.0.1", "web", "10.0.0.2"),
		{Network: "none"}, one("red", "br-red", "10.0.0.1", "web", "10.0.0.2"),
	}
	var err error
	in(t, h.ns, func() error { err = s.Set(zones); return nil })
	for _, want := range []string{
		`serve names of network "gone" on 10.1.0.1 port 53: `, `bind to device "br-gone": no such device`, "the bridge is not there: ",
		`serve names of network "none" on device "": both must be given`, `serve names of network "red": it is given twice`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in\n%v", want, err)
		}
	}
	if got := fmt.Sprint(s.Listening()); got != "[{red br-red 10.0.0.1 53}]" {
		t.Errorf("listening on %s", got)
	}
	h.bridge("br-gone", "10.1.0.1/24")
	h.set(s, zones[:2]...)
	if got := fmt.Sprint(s.Listening()); got != "[{gone br-gone 10.1.0.1 53} {red br-red 10.0.0.1 53}]" {
		t.Errorf("with the bridge: %s", got)
	}
}

func TestAddressMayComeLater(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	c := h.container("br-red", "10.0.0.1", "10.0.0.2/24", "fd00::2/64")
	h.set(h.server(), one("red", "br-red", "10.0.0.63 fd00::1", "web", "10.0.0.2"))
	ip(t, h.ns, "addr add 10.0.0.63/24 dev br-red")
	ip(t, h.ns, "addr add fd00::1/64 nodad dev br-red")
	for _, to := range []string{"10.0.0.63:53", "[fd00::1]:53"} {
		if got := answerTo(dial(t, c, "udp", to), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
			t.Errorf("%s: %s", to, got)
		}
	}
}

func TestBridgeMadeAnew(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	s := h.server()
	z := one("red", "br-red", "10.0.0.1", "web", "10.0.0.2")
	h.set(s, z)
	ip(t, h.ns, "link del br-red")
	h.bridge("br-red", "10.0.0.1/24")
	c := h.container("br-red", "10.0.0.1", "10.0.0.2/24")
	if got := answerTo(dial(t, c, "udp", "10.0.0.1:53"), "web", dns.TypeA); !strings.Contains(got, "connection refused") {
		t.Logf("the kernel follows the name: %s; Set need not look at the index", got)
	}
	h.set(s, z)
	for _, network := range []string{"udp", "tcp"} {
		if got := answerTo(dial(t, c, network, "10.0.0.1:53"), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
			t.Errorf("%s: %s", network, got)
		}
	}
}

func TestTakenPort(t *testing.T) {
	for what, network := range map[string]string{"UDP on all addresses": "udp", "TCP on all addresses": "tcp"} {
		h := newHost(t)
		h.bridge("br-red", "10.0.0.1/24")
		c := h.container("br-red", "10.0.0.1", "10.0.0.2/24")
		in(t, h.ns, func() error {
			if network == "udp" {
				conn, err := net.ListenPacket("udp", ":53")
				t.Cleanup(func() { conn.Close() })
				return err
			}
			l, err := net.Listen("tcp", ":53")
			t.Cleanup(func() { l.Close() })
			return err
		})
		s := h.server()
		z := one("red", "br-red", "10.0.0.1", "web", "10.0.0.2")
		h.set(s, z)
		first := s.Listening()
		if len(first) != 1 || first[0].Port == 53 || first[0].Port == 0 {
			t.Fatalf("%s: listening on %v", what, first)
		}
		h.set(s, z)
		if again := s.Listening(); !slices.Equal(again, first) {
			t.Errorf("%s: the port changed from %v to %v", what, first, again)
		}
		for _, network := range []string{"udp", "tcp"} {
			if got := answerTo(dial(t, c, network, fmt.Sprint("10.0.0.1:", first[0].Port)), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
				t.Errorf("%s, over %s: %s", what, network, got)
			}
		}
	}
}

func TestClientCannotExhaustForwarding(t *testing.T) {
	wait := make(chan struct{})
	up := upstream(t, wait)
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	c := h.container("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.server()
	z := one("red", "br-red", "10.0.0.1", "web", "10.0.0.2")
	z.Upstreams = []netip.AddrPort{up}
	h.set(s, z)
	conn := dial(t, c, "udp", "10.0.0.1:53")
	wire, _ := question("example.com", dns.TypeTXT).Pack()
	for range forwardLimits.client {
		if err := send(conn, wire, false); err != nil {
			t.Fatal(err)
		}
	}
	other := dial(t, c, "udp", "10.0.0.1:53")
	if got := answerTo(other, "example.com", dns.TypeTXT); got != "SERVFAIL" {
		t.Errorf("one more: %s", got)
	}
	if got := answerTo(other, "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
		t.Errorf("a name of the network: %s", got)
	}
	close(wait)
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	for i := range forwardLimits.client {
		if got, err := receive(conn, false); err != nil || unpack(t, got).Rcode != dns.RcodeSuccess {
			t.Fatalf("answer %d: %x, %v", i, got, err)
		}
	}
	s.Close()
	if s.forwards.all != 0 {
		t.Errorf("%d places are not given back", s.forwards.all)
	}
}

func TestClientCannotExhaustConnections(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	c := h.container("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.server()
	h.set(s, one("red", "br-red", "10.0.0.1", "web", "10.0.0.2"))
	for i := range connLimits.client {
		if got := answerTo(dial(t, c, "tcp", "10.0.0.1:53"), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
			t.Fatalf("connection %d: %s", i, got)
		}
	}
	if got := answerTo(dial(t, c, "tcp", "10.0.0.1:53"), "web", dns.TypeA); strings.HasPrefix(got, "NOERROR") {
		t.Errorf("one more: %s", got)
	}
	start := time.Now()
	s.Close() // does not wait for the clients
	if took := time.Since(start); took > time.Second {
		t.Errorf("closing took %v", took)
	}
	if s.conns.all != 0 {
		t.Errorf("%d places are not given back", s.conns.all)
	}
}

func TestClose(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	c := h.container("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.server()
	h.set(s, one("red", "br-red", "10.0.0.1", "web", "10.0.0.2"))
	s.Close()
	s.Close()
	if got := answerTo(dial(t, c, "udp", "10.0.0.1:53"), "web", dns.TypeA); !strings.Contains(got, unix.ECONNREFUSED.Error()) {
		t.Errorf("got %s", got)
	}
	if err := s.Set(nil); err == nil {
		t.Error("a closed server takes zones")
	}
	if got := s.Listening(); len(got) != 0 {
		t.Errorf("listening on %v", got)
	}
}
