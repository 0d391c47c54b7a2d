package dns

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"vxlan-driver/internal/kernel/netns"
)

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
	zones[1].Records = append(zones[1].Records, Record{Names: []string{"secret"}, Addrs: addrs("10.0.0.78")})
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

// Whichever resolver of its networks a container asks, it gets the same: names of all of them, and what any of them may
// ask outside. A neighbour that is on one network only knows nothing of the other.
func TestContainerOnSeveralNetworksMayAskAnyResolver(t *testing.T) {
	h := newHost(t)
	h.bridge("br-red", "10.0.0.1/24")
	h.bridge("br-blue", "10.1.0.1/24")
	h.bridge("br-green", "10.2.0.1/24")
	both := h.container("br-red", "10.0.0.1", "10.0.0.2/24", "10.0.0.3/24")
	red := one("red", "br-red", "10.0.0.1", "here", "10.0.0.9") // internal
	blue, green := one("blue", "br-blue", "10.1.0.1", "there", "10.1.0.9"), one("green", "br-green", "10.2.0.1", "secret", "10.2.0.9")
	for i, z := range []*Zone{&red, &blue, &green} {
		z.Subnets = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 24)}
	}
	red.Records = append(red.Records, Record{ID: "c", Names: []string{"c"}, Addrs: addrs("10.0.0.2")}, Record{ID: "d", Names: []string{"d"}, Addrs: addrs("10.0.0.3")})
	blue.Records = append(blue.Records, Record{ID: "c", Names: []string{"c"}, Addrs: addrs("10.1.0.2")})
	blue.Upstreams = []netip.AddrPort{upstream(t, nil)}
	green.Records = append(green.Records, Record{Names: []string{"c"}, Addrs: addrs("10.0.0.2")}) // another host's, whatever it says
	s := h.server()
	h.set(s, red, blue, green)
	asks := func(from, network, name string, qtype uint16) string {
		var d net.Dialer
		if network == "udp" {
			d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
		} else {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		var conn net.Conn
		in(t, both, func() (err error) { conn, err = d.Dial(network, "10.0.0.1:53"); return err })
		defer conn.Close()
		return answerTo(conn, name, qtype)
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
			{reverse("10.1.0.9"), dns.TypePTR, "NOERROR, PTR there.", "NXDOMAIN, SOA of ."},
			{reverse("10.0.0.77"), dns.TypePTR, "NXDOMAIN, SOA of .", "NXDOMAIN, SOA of ."},
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
	// It leaves the other network.
	blue.Records = blue.Records[:1]
	h.set(s, red, blue, green)
	if got := asks("10.0.0.2", "udp", "there", dns.TypeA); got != "NXDOMAIN, SOA of ." {
		t.Errorf("afterwards: %s", got)
	}
}
