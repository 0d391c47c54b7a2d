package paritytest

import (
	"strings"
	"testing"
)

// An internal network: no default route, no way out, no way in, no published ports. The host
// reaches it, as on a bridge.
func TestInternalNetworkHasNoWayOut(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.createNetwork("open", "--subnet 10.8.0.0/24 --subnet fd00:8::/64")
		s.runPeer(s.a, "open", "--network open")
		s.checkInternal()
	})
}

// The first container of another network turns forwarding on for the whole host. That opens
// netavark's internal bridges, which are closed by nothing but a sysctl that this overwrites; ours
// stay closed.
func TestInternalNetworkHasNoWayOutAfterReload(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	s.createNetwork("open", "--subnet 10.8.0.0/24 --subnet fd00:8::/64")
	s.createNetwork("earlier", "--internal --subnet 10.7.0.0/24 --subnet fd00:7::/64")
	s.runPeer(s.a, "earlier", "--network earlier:ip=10.7.0.20,ip=fd00:7::20")
	s.runPeer(s.a, "open", "--network open")
	s.mustRun(s.a, "sysctl -qw net.ipv4.ip_forward=0 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=0 net.ipv6.conf.all.forwarding=1")
	s.checkAnswers(question{"open", "tcp/10.7.0.20:80", noAnswer}, question{"open", "tcp/[fd00:7::20]:80", noAnswer})
	s.checkInternal()
}

// checkInternal creates an internal network beside the network "open", and tries every way out and
// in.
func (s *scene) checkInternal() {
	s.Helper()
	s.createNetwork("inner", "--internal --subnet 10.9.0.0/24 --subnet fd00:9::/64")
	s.runPeer(s.a, "c", "--network inner:ip=10.9.0.20,ip=fd00:9::20 --cap-add NET_ADMIN -p 8080:80")
	s.runPeer(s.a, "neighbour", "--network inner")
	if got := s.mustRun(s.a, "podman exec c ip route; podman exec c ip -6 route"); strings.Contains(got, "default") {
		s.Errorf("there is a default route: %s", got)
	}
	s.mustRun(s.lab.Host("outside"), "ip route add 10.9.0.0/24 via "+hostA4+"; ip route add fd00:9::/64 via "+hostA6)
	// Nor when the container helps itself to one.
	s.mustRun(s.a, "podman exec c ip route add default via 10.9.0.1; podman exec c ip -6 route add default via fd00:9::1")
	s.checkAnswers(
		question{"c", "tcp/" + outside4 + ":7000", noAnswer},
		question{"c", "udp/" + outside4 + ":7000", noAnswer},
		question{"outside", "tcp/10.9.0.20:80", noAnswer},
		question{"outside", "tcp/" + hostA4 + ":8080", noAnswer},
		question{"open", "tcp/10.9.0.20:80", noAnswer},
		question{"neighbour", "tcp/10.9.0.20:80", "c:80"},
		question{"neighbour", "tcp/[fd00:9::20]:80", "c:80"},
		question{"host-a", "tcp/10.9.0.20:80", "c:80"},
		question{"host-a", "tcp/[fd00:9::20]:80", "c:80"},
	)
	// The sysctl that closes a bridge does not stop IPv6: the kernel has one switch for all
	// interfaces.
	if s.driver == "vxlan" {
		s.checkAnswers(
			question{"c", "tcp/[" + outside6 + "]:7000", noAnswer},
			question{"c", "udp/[" + outside6 + "]:7000", noAnswer},
			question{"outside", "tcp/[fd00:9::20]:80", noAnswer},
			question{"outside", "udp/[fd00:9::20]:80", noAnswer},
			question{"open", "udp/[fd00:9::20]:80", noAnswer},
		)
	}
}

// Not one datagram enters an internal network, even if no answer could come back.
func TestNothingEntersAnInternalNetwork(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1) // netavark's bridge lets it in: it only turns off forwarding of what comes from there
	s.createNetwork("inner", "--internal --subnet 10.9.0.0/24")
	s.createNetwork("open", "--subnet 10.8.0.0/24")
	s.runPeer(s.a, "c", "--network inner:ip=10.9.0.20")
	s.runPeer(s.a, "open", "--network open")
	s.mustRun(s.lab.Host("outside"), "ip route add 10.9.0.0/24 via "+hostA4)
	capture := func(asker string) string {
		return s.mustRun(s.a, execInContainer("c")+"timeout 10 tcpdump --immediate-mode -lni eth0 udp port 80 >/tmp/seen 2>/tmp/state & tcpdump=$!\n"+
			"for i in $(seq 500); do grep -q listening /tmp/state && break; sleep 0.01; done\n"+
			asker+" peer ask -t 0.5 udp/10.9.0.20:80 >/dev/null 2>&1; kill $tcpdump; wait; grep -o '> .*: UDP' /tmp/seen || true")
	}
	if got := capture(""); !strings.Contains(got, "> 10.9.0.20.80") { // it does see what the host sends
		t.Fatalf("from the host: %q", got)
	}
	if got := capture("podman exec open"); got != "" {
		t.Errorf("from another network of the host: %s", got)
	}
}

// An internal network spans hosts like any other network.
func TestInternalNetworkAcrossHosts(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 2)
	s.createNetwork("inner", "--internal --subnet 10.9.0.0/24 --subnet fd00:9::/64")
	s.runPeer(s.a, "one", "--network inner:ip=10.9.0.20,ip=fd00:9::20")
	s.runPeer(s.b, "two", "--network inner:ip=10.9.0.200,ip=fd00:9::200")
	s.checkAnswers(
		question{"one", "tcp/10.9.0.200:80", "two:80 from 10.9.0.20"},
		question{"two@host-b", "udp/[fd00:9::20]:80", "one:80 from fd00:9::200"},
	)
}
