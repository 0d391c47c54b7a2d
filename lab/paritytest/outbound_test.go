package paritytest

import (
	"strings"
	"testing"
)

// Packets that leave the overlay have the host's address, in both families and for each protocol.
func TestWayOutMasquerades(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
		s.runPeer(s.a, "c", "--network net")
		s.checkAnswers(
			question{"c", "tcp/" + outside4 + ":7000", "outside:7000 from " + hostA4},
			question{"c", "udp/" + outside4 + ":7000", "outside:7000 from " + hostA4},
			question{"c", "tcp/[" + outside6 + "]:7000", "outside:7000 from " + hostA6},
			question{"c", "udp/[" + outside6 + "]:7000", "outside:7000 from " + hostA6},
		)
		s.mustRun(s.a, "podman exec c ping -c1 -W2 "+outside4+" && podman exec c ping -c1 -W2 "+outside6)
	})
}

// Within the network nothing is masqueraded, not even to a second subnet or a multicast group. With
// br_netfilter such packets do pass the host's rules.
func TestNoMasqueradeWithinTheNetwork(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
		s.runPeer(s.a, "one", "--network net:ip=10.9.0.20,ip=fd00:9::20")
		s.runPeer(s.a, "two", "--network net:ip=10.9.0.21,ip=fd00:9::21", "mcast/239.7.7.7:7002", "mcast/[ff15::7]:7002")
		s.checkAnswers(
			question{"one", "tcp/10.9.0.21:80", "two:80 from 10.9.0.20"},
			question{"one", "tcp/[fd00:9::21]:80", "two:80 from fd00:9::20"},
			question{"one", "mcast/239.7.7.7:7002", "two:7002 from 10.9.0.20"},
		)
		// netavark 1.x takes ::/8 for the multicast range and masquerades all of it; 2.x has mended
		// that.
		if s.driver == "vxlan" {
			s.checkAnswers(question{"one", "mcast/[ff15::7]:7002", "two:7002 from fd00:9::20"})
		}
	})
}

// A container on another host sees the container's address, not its host's.
func TestNoMasqueradeAcrossHosts(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 2) // a bridge has no other host
	s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet 10.8.0.0/24 --subnet fd00:9::/64")
	s.runPeer(s.a, "one", "--network net:ip=10.9.0.20,ip=10.8.0.20,ip=fd00:9::20")
	s.runPeer(s.b, "two", "--network net:ip=10.9.0.200,ip=10.8.0.200,ip=fd00:9::200", "mcast/239.7.7.7:7002", "mcast/[ff15::7]:7002")
	for _, protocol := range []string{"tcp", "udp", "sctp"} {
		s.checkAnswers(
			question{"one", protocol + "/10.9.0.200:80", "two:80 from 10.9.0.20"},
			question{"one", protocol + "/10.8.0.200:80", "two:80 from 10.8.0.20"},
			question{"one", protocol + "/[fd00:9::200]:80", "two:80 from fd00:9::20"},
			question{"two@host-b", protocol + "/10.9.0.20:80", "one:80 from 10.9.0.200"},
		)
	}
	s.checkAnswers(
		question{"one", "mcast/239.7.7.7:7002", "two:7002 from 10.9.0.20"},
		question{"one", "mcast/[ff15::7]:7002", "two:7002 from fd00:9::20"},
	)
}

// Packets leave the overlay through their own host, so other hosts may be down.
func TestInternetReachableWhileOtherHostsAreDown(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 2)
	s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
	s.runPeer(s.a, "one", "--network net")
	s.runPeer(s.b, "two", "--network net")
	out := func(from, seen4, seen6 string) {
		s.Helper()
		s.checkAnswers(question{from, "tcp/" + outside4 + ":7000", "outside:7000 from " + seen4},
			question{from, "tcp/[" + outside6 + "]:7000", "outside:7000 from " + seen6})
	}
	// Both have asked, and may have learned where the gateway is.
	out("one", hostA4, hostA6)
	out("two@host-b", s.b.Addr4().String(), s.b.Addr6().String())
	for _, down := range []string{"host-b", "host-a"} {
		if _, err := s.lab.UnderlayIP(t.Context(), "link", "set", down, "down"); err != nil {
			t.Fatal(err)
		}
		if down == "host-b" {
			s.mustRun(s.a, "podman exec one busybox arp -d 10.9.0.1 || true") // forgotten, and asked for again
			out("one", hostA4, hostA6)
		} else {
			out("two@host-b", s.b.Addr4().String(), s.b.Addr6().String())
		}
		if _, err := s.lab.UnderlayIP(t.Context(), "link", "set", down, "up"); err != nil {
			t.Fatal(err)
		}
	}
}

// outbound_addr4 and outbound_addr6 replace the address that masquerading would choose. Podman's
// bridge has them from netavark 2.0 on; the one of the lab refuses the options.
func TestOutboundAddress(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 2)
	s.mustRun(s.a, "ip address add 198.18.0.111/24 dev eth0; ip address add fd00:198:18::111/64 nodad dev eth0")
	s.mustRun(s.a, "podman network create --driver vxlan "+s.vxlanOptions("net")+
		" --opt outbound_addr4=198.18.0.111 --opt outbound_addr6=fd00:198:18::111 --subnet 10.9.0.0/24 --subnet fd00:9::/64 net")
	s.mustRun(s.b, "podman network create --driver vxlan "+s.vxlanOptions("net")+" --subnet 10.9.0.0/24 --subnet fd00:9::/64 net")
	s.runPeer(s.a, "one", "--network net:ip=10.9.0.20,ip=fd00:9::20")
	s.runPeer(s.b, "two", "--network net:ip=10.9.0.200,ip=fd00:9::200")
	s.checkAnswers(
		question{"one", "tcp/" + outside4 + ":7000", "outside:7000 from 198.18.0.111"},
		question{"one", "udp/[" + outside6 + "]:7000", "outside:7000 from fd00:198:18::111"},
		question{"one", "tcp/10.9.0.200:80", "two:80 from 10.9.0.20"},
		question{"two@host-b", "tcp/" + outside4 + ":7000", "outside:7000 from 198.18.0.12"},
	)
	for _, option := range []string{"outbound_addr4=fd00::1", "outbound_addr4=x", "outbound_addr6=10.0.0.1"} {
		name, _, _ := strings.Cut(option, "=")
		got := s.mustFail(s.a, "podman network create --driver vxlan "+s.vxlanOptions("bad")+" --opt "+option+" --subnet 10.7.0.0/24 bad")
		if !strings.Contains(got, name) {
			t.Errorf("%s: the error does not name the option: %s", option, got)
		}
	}
}
