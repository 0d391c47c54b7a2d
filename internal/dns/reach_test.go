package dns

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/logtest"
)

func TestServesEachAddressOverUDPAndTCP(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24", "10.0.0.63/24", "fd00::1/64")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24", "fd00::2/64")
	h.setZones(h.newServer(), zoneWithRecord("red", "br-red", "10.0.0.1 10.0.0.63 fd00::1", "web", "10.0.0.2"))
	for _, network := range []string{"udp", "tcp"} {
		for _, addr := range []string{"10.0.0.1:53", "10.0.0.63:53", "[fd00::1]:53"} {
			conn := dialFrom(t, c, network, addr)
			for range 2 { // on one connection
				if got := askOver(conn, "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
					t.Errorf("%s %s: %s", network, addr, got)
				}
			}
		}
	}
}

func TestServesLinkLocalAddress(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24", "fe80::53/64")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24", "fe80::2/64")
	h.setZones(h.newServer(), zoneWithRecord("red", "br-red", "fe80::53", "web", "10.0.0.2"))
	var index int
	inNamespace(t, c, func() error {
		i, err := deviceIndex("eth0")
		index = int(i)
		return err
	})
	for _, network := range []string{"udp", "tcp"} {
		if got := askOver(dialFrom(t, c, network, fmt.Sprintf("[fe80::53%%%d]:53", index)), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
			t.Errorf("%s: %s", network, got)
		}
	}
}

// The control listener shows that the address can be reached, so only the resolver cannot.
func TestResolverIsOnlyForItsOwnNetwork(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24", "fd00:0::1/64")
	h.addBridge("br-blue", "10.1.0.1/24", "fd00:1::1/64")
	h.addBridge("under", "198.18.0.1/24")
	red := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24", "fd00:0::2/64")
	blue := h.addContainer("br-blue", "10.1.0.1", "10.1.0.2/24", "fd00:1::2/64")
	under := h.addContainer("under", "198.18.0.1", "198.18.0.2/24")
	runIP(t, blue, "-6 route add default via fd00:1::1")
	h.setZones(h.newServer(), zoneWithRecord("red", "br-red", "10.0.0.1 fd00::1", "web", "10.0.0.2"), zoneWithRecord("blue", "br-blue", "10.1.0.1", "db", "10.1.0.2"))
	var control net.Listener
	inNamespace(t, h.ns, func() (err error) {
		control, err = net.Listen("tcp", ":1053")
		return err
	})
	defer control.Close()

	if got := askOver(dialFrom(t, red, "udp", "10.0.0.1:53"), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
		t.Fatalf("from its own network: %s", got)
	}
	// Linux counts what a host sends to its own address as received on that address's device.
	if got := askOver(dialFrom(t, h.ns, "udp", "10.0.0.1:53"), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
		t.Errorf("from the host, where an operator may ask: %s", got)
	}
	for from, ns := range map[string]string{"another network": blue, "the underlay": under} {
		for _, to := range []string{"10.0.0.1", "fd00::1"} {
			if to == "fd00::1" && ns == under {
				continue // it has no IPv6
			}
			dialFrom(t, ns, "tcp", net.JoinHostPort(to, "1053"))
			if got := askOver(dialFrom(t, ns, "udp", net.JoinHostPort(to, "53")), "web", dns.TypeA); !strings.Contains(got, "connection refused") {
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
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	h.addBridge("br-blue", "10.0.0.1/24")
	red := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24")
	zones := []Zone{zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2"), zoneWithRecord("blue", "br-blue", "10.0.0.1", "web", "10.0.0.77")}
	zones[1].Records = append(zones[1].Records, Record{Names: []string{"secret"}, Addrs: parseAddrs("10.0.0.78")})
	for i := range zones {
		zones[i].Subnets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	}
	h.setZones(h.newServer(), zones...)
	for _, network := range []string{"udp", "tcp"} {
		conn := dialFrom(t, red, network, "10.0.0.1:53")
		for name, want := range map[string]string{
			"web": "NOERROR, A 10.0.0.2", "secret": "NXDOMAIN, SOA of .", "secret.dns.podman": "NXDOMAIN, SOA of dns.podman.",
		} {
			if got := askOver(conn, name, dns.TypeA); got != want {
				t.Errorf("%s %s: got %s, want %s", network, name, got, want)
			}
		}
		for _, addr := range []string{"10.0.0.77", "10.0.0.78"} {
			if got := askOver(conn, reverseName(addr), dns.TypePTR); got != "NXDOMAIN, SOA of ." {
				t.Errorf("%s names of %s: got %s", network, addr, got)
			}
		}
	}
}

func TestForwardsOverTheClientsTransport(t *testing.T) {
	up := startUpstream(t, nil)
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24")
	z := zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2")
	z.Upstreams, z.Internal = []netip.AddrPort{up}, false
	h.setZones(h.newServer(), z)
	for network, want := range map[string]string{"udp": `NOERROR, TXT "udp"`, "tcp": `NOERROR, TXT "tcp"`} {
		if got := askOver(dialFrom(t, c, network, "10.0.0.1:53"), "example.com", dns.TypeTXT); got != want {
			t.Errorf("over %s: got %s", network, got)
		}
	}
}

func TestClientCannotExhaustForwarding(t *testing.T) {
	wait := make(chan struct{})
	up := startUpstream(t, wait)
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.newServer()
	log := new(logtest.Buffer)
	s.log = slog.New(slog.NewTextHandler(log, nil))
	z := zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2")
	z.Upstreams, z.Internal = []netip.AddrPort{up}, false
	h.setZones(s, z)
	conn := dialFrom(t, c, "udp", "10.0.0.1:53")
	wire, _ := question("example.com", dns.TypeTXT).Pack()
	most := forwardLimits.client + forwardQueueLimits.client
	conn.(*net.UDPConn).SetReadBuffer(1 << 20)
	for range most {
		if err := sendMessage(conn, wire, false); err != nil {
			t.Fatal(err)
		}
	}
	other := dialFrom(t, c, "udp", "10.0.0.1:53")
	for range 2 {
		if got := askOver(other, "example.com", dns.TypeTXT); got != "SERVFAIL" {
			t.Errorf("one more: %s", got)
		}
	}
	if got := askOver(other, "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
		t.Errorf("a name of the network: %s", got)
	}
	close(wait)
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	for i := range most {
		if got, err := receiveMessage(conn, false); err != nil || mustUnpack(t, got).Rcode != dns.RcodeSuccess {
			t.Fatalf("answer %d: %x, %v", i, got, err)
		}
	}
	s.Close()
	if s.forwardLimit.active.total != 0 || s.forwardLimit.waiting.total != 0 {
		t.Errorf("%d slots are not given back, %d queries wait", s.forwardLimit.active.total, s.forwardLimit.waiting.total)
	}
	if n := log.Count("too many queries for names outside at once"); n != 1 {
		t.Errorf("the log says %d times that there are too many queries:\n%s", n, log.String())
	}
	if got, want := s.Queries(), (QueryCounts{Answered: 1, Forwarded: uint64(most), Limited: 2}); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

// A program that looks 200 names up at once asks 400 questions, for both address families.
func TestParallelLookupsOfOneContainerAreAllAnswered(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.newServer()
	z := zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2")
	z.Upstreams, z.Internal = []netip.AddrPort{netip.MustParseAddrPort("198.18.0.53:53")}, false
	s.forwarder.dial = func(_ context.Context, network, _ string) (net.Conn, error) {
		time.Sleep(200 * time.Millisecond) // a resolver that has to ask others
		upstream := &fakeUpstreams{behave: behaviours{53: respondWith(0)}, tcp: network == "tcp"}
		return upstream.dial(t.Context(), network, "198.18.0.53:53")
	}
	h.setZones(s, z)
	for network, lookups := range map[string]int{"udp": 400, "tcp": 200} {
		var conns []net.Conn
		for range lookups {
			conns = append(conns, dialFrom(t, c, network, "10.0.0.1:53"))
		}
		failures := make(chan string, lookups)
		var asking sync.WaitGroup
		for _, conn := range conns {
			asking.Go(func() {
				if got := askOver(conn, "example.com", dns.TypeA); !strings.HasPrefix(got, "NOERROR") {
					failures <- got
				}
				conn.Close()
			})
		}
		asking.Wait()
		if n := len(failures); n > 0 {
			t.Errorf("over %s %d of %d lookups fail, one with %s", network, n, lookups, <-failures)
		}
	}
}

func TestClientCannotExhaustConnections(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	c := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24")
	s := h.newServer()
	h.setZones(s, zoneWithRecord("red", "br-red", "10.0.0.1", "web", "10.0.0.2"))
	for i := range connLimits.client {
		if got := askOver(dialFrom(t, c, "tcp", "10.0.0.1:53"), "web", dns.TypeA); got != "NOERROR, A 10.0.0.2" {
			t.Fatalf("connection %d: %s", i, got)
		}
	}
	if got := askOver(dialFrom(t, c, "tcp", "10.0.0.1:53"), "web", dns.TypeA); strings.HasPrefix(got, "NOERROR") {
		t.Errorf("one more: %s", got)
	}
	start := time.Now()
	s.Close() // does not wait for the clients
	if took := time.Since(start); took > idleTimeout-time.Second {
		t.Errorf("closing took %v", took)
	}
	if s.connLimit.active.total != 0 || s.connLimit.waiting.total != 0 {
		t.Errorf("%d slots are not given back, %d connections wait", s.connLimit.active.total, s.connLimit.waiting.total)
	}
}

// Each resolver of a container's networks gives it the same answers: names of all of them, and
// names outside if any of them forwards. A neighbour on one network only gets no names of the
// other.
func TestMultihomedContainerMayAskAnyResolver(t *testing.T) {
	h := newTestHost(t)
	h.addBridge("br-red", "10.0.0.1/24")
	h.addBridge("br-blue", "10.1.0.1/24")
	h.addBridge("br-green", "10.2.0.1/24")
	both := h.addContainer("br-red", "10.0.0.1", "10.0.0.2/24", "10.0.0.3/24")
	red := zoneWithRecord("red", "br-red", "10.0.0.1", "here", "10.0.0.9") // internal
	blue, green := zoneWithRecord("blue", "br-blue", "10.1.0.1", "there", "10.1.0.9"), zoneWithRecord("green", "br-green", "10.2.0.1", "secret", "10.2.0.9")
	for i, z := range []*Zone{&red, &blue, &green} {
		z.Subnets = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 24)}
	}
	red.Records = append(red.Records, Record{ID: "c", Names: []string{"c"}, Addrs: parseAddrs("10.0.0.2")}, Record{ID: "d", Names: []string{"d"}, Addrs: parseAddrs("10.0.0.3")})
	blue.Records = append(blue.Records, Record{ID: "c", Names: []string{"c"}, Addrs: parseAddrs("10.1.0.2")})
	blue.Upstreams, blue.Internal = []netip.AddrPort{startUpstream(t, nil)}, false
	green.Records = append(green.Records, Record{Names: []string{"c"}, Addrs: parseAddrs("10.0.0.2")}) // another host's, with the same name and address
	s := h.newServer()
	h.setZones(s, red, blue, green)
	asks := func(from, network, name string, qtype uint16) string {
		var d net.Dialer
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
		} else {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		var conn net.Conn
		inNamespace(t, both, func() (err error) { conn, err = d.Dial(network, "10.0.0.1:53"); return err })
		defer conn.Close()
		return askOver(conn, name, qtype)
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, tt := range []struct {
			name      string
			qtype     uint16
			both, red string
		}{
			{"here", dns.TypeA, "NOERROR, A 10.0.0.9", "NOERROR, A 10.0.0.9"},
			{"there", dns.TypeA, "NOERROR, A 10.1.0.9", "NXDOMAIN, SOA of ."},
			{"there.dns.podman", dns.TypeAAAA, "NOERROR, SOA of dns.podman.", "NXDOMAIN, SOA of dns.podman."},
			{reverseName("10.1.0.9"), dns.TypePTR, "NOERROR, PTR there.", "NXDOMAIN, SOA of ."},
			{reverseName("10.0.0.77"), dns.TypePTR, "NXDOMAIN, SOA of .", "NXDOMAIN, SOA of ."},
			{"secret.dns.podman", dns.TypeA, "NXDOMAIN, SOA of dns.podman.", "NXDOMAIN, SOA of dns.podman."},
			{"www.example.test", dns.TypeTXT, fmt.Sprintf("NOERROR, TXT %q", network), "NXDOMAIN, SOA of ."},
		} {
			if got := asks("10.0.0.2", network, tt.name, tt.qtype); got != tt.both {
				t.Errorf("%s %s on both networks: got %s, want %s", network, tt.name, got, tt.both)
			}
			if got := asks("10.0.0.3", network, tt.name, tt.qtype); got != tt.red {
				t.Errorf("%s %s on one network: got %s, want %s", network, tt.name, got, tt.red)
			}
		}
	}
	// The container leaves the other network.
	blue.Records = blue.Records[:1]
	h.setZones(s, red, blue, green)
	if got := asks("10.0.0.2", "udp", "there", dns.TypeA); got != "NXDOMAIN, SOA of ." {
		t.Errorf("afterwards: %s", got)
	}
}
