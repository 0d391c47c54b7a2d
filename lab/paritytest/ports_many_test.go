package paritytest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A container on two networks may answer by the other network than the request's. Strict
// reverse-path filtering must not drop that, nor may a disconnect of one network.
func TestPortsOfTwoNetworksUnderStrictReversePathFiltering(t *testing.T) {
	t.Parallel()
	onBoth(t, 2, func(s *scene) {
		s.mustRun(s.a, "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1")
		s.createNetwork("red", "--subnet 10.1.0.0/24 --subnet fd00:1::/64")
		s.createNetwork("blue", "--subnet 10.2.0.0/24 --subnet fd00:2::/64 --opt metric=50")
		s.runPeer(s.a, "red", "--network red")
		s.runPeer(s.a, "blue", "--network blue")
		s.runPeer(s.a, "web", "--network red:ip=10.1.0.20,ip=fd00:1::20 --network blue:ip=10.2.0.20,ip=fd00:2::20 -p 8080:80 -p 8080:80/udp")
		reached := func(from ...string) {
			s.Helper()
			var all []question
			for _, f := range s.dropStrangers(from, "red", "blue") {
				all = append(all, question{f, "tcp/" + hostA4 + ":8080", "web:80"}, question{f, "udp/" + hostA4 + ":8080", "web:80"},
					question{f, "tcp/[" + hostA6 + "]:8080", "web:80"})
			}
			s.checkAnswers(append(all, question{"host-a", "tcp/127.0.0.1:8080", "web:80"}, question{"host-a", "udp/127.0.0.1:8080", "web:80"},
				question{"web", "tcp/" + outside4 + ":7000", "outside:7000 from " + hostA4})...)
		}
		reached("outside", "host-a", "red", "blue", "host-b")
		for _, pair := range [][2]string{{"red", "blue"}, {"blue", "red"}} {
			gone, left := pair[0], pair[1]
			s.mustRun(s.a, "podman network disconnect "+gone+" web")
			reached("outside", "host-a", left, gone, "host-b")
			s.mustRun(s.a, "podman network connect "+gone+" web")
			reached("outside", "host-a", left, gone, "host-b")
		}
		s.removeContainers("web")
		s.checkAnswers(question{"outside", "tcp/" + hostA4 + ":8080", noAnswer}, question{"host-a", "tcp/127.0.0.1:8080", noAnswer})
	})
}

// The same with one bridge and one vxlan network: a packet passes netavark's rules and ours.
func TestPortsOfContainerOnBridgeAndVXLAN(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 2)
	s.mustRun(s.a, "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1")
	s.createNetworkOf("bridge", "local", "--subnet 10.2.0.0/24")
	for _, metric := range []string{"50", "200"} { // the bridge has 100: the default route is of the one or the other
		s.runSubtest("metric "+metric, func(s *scene) {
			name := "vxlan" + metric
			s.createNetwork(name, "--subnet 10.1.0.0/24 --opt metric="+metric)
			s.runPeer(s.b, "far"+metric, "--network "+name+":ip=10.1.0.200")
			for _, networks := range []string{"--network local --network " + name, "--network " + name + " --network local"} {
				s.runPeer(s.a, "web", networks+" -p 8080:80 -p 8080:80/udp")
				for _, from := range []string{"outside", "host-a", "far" + metric + "@host-b", "host-b"} {
					s.checkAnswers(question{from, "tcp/" + hostA4 + ":8080", "web:80"}, question{from, "udp/" + hostA4 + ":8080", "web:80"})
				}
				s.checkAnswers(question{"host-a", "tcp/127.0.0.1:8080", "web:80"}, question{"web", "tcp/10.1.0.200:80", "far" + metric + ":80"})
				s.removeContainers("web")
				s.checkAnswers(question{"outside", "tcp/" + hostA4 + ":8080", noAnswer})
			}
			s.mustRun(s.b, "podman rm -f -t0 far"+metric+"; podman network rm "+name)
			s.mustRun(s.a, "podman network rm "+name)
		})
	}
}

// Containers may publish the same container port, adjacent host ports, and one port by two
// protocols.
func TestPortsOfContainersDoNotAffectEachOther(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
		s.runPeer(s.a, "one", "--network net -p 8080:80 -p "+hostA4+":9000:80 -p 9053:80/udp")
		s.runPeer(s.a, "two", "--network net -p 8081:80 -p 127.0.0.1:9000:80 -p 9053:80/tcp")
		one := []question{
			{"outside", "tcp/" + hostA4 + ":8080", "one:80"},
			{"outside", "tcp/[" + hostA6 + "]:8080", "one:80"},
			{"outside", "tcp/" + hostA4 + ":9000", "one:80"},
			{"outside", "udp/" + hostA4 + ":9053", "one:80"},
		}
		two := []question{
			{"outside", "tcp/" + hostA4 + ":8081", "two:80"},
			{"host-a", "tcp/127.0.0.1:9000", "two:80"},
			{"outside", "tcp/" + hostA4 + ":9053", "two:80"},
		}
		s.checkAnswers(append(one, two...)...)
		s.removeContainers("one")
		s.checkAnswers(append(closedAnswers(one, s.driver), two...)...)
		s.runPeer(s.a, "one", "--network net -p 8080:80 -p "+hostA4+":9000:80 -p 9053:80/udp")
		s.removeContainers("two")
		s.checkAnswers(append(closedAnswers(two, s.driver), one...)...)
		s.removeContainers("one")
		s.checkAnswers(closedAnswers(append(one, two...), s.driver)...)
	})
}

// A container does not reach its own published port, as its bridge port has no hairpin mode.
// netavark's bridge does not offer it either.
func TestContainerCannotReachOwnPublishedPort(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.createNetwork("net", "--subnet 10.9.0.0/24")
		s.runPeer(s.a, "web", "--network net -p 8080:80")
		want := noAnswer
		if s.driver == "vxlan" {
			want = ownPortAnswer
		}
		s.checkAnswers(question{"web", "tcp/" + hostA4 + ":8080", want})
	})
}

// ownPortAnswer is what a container on vxlan gets from its own published port.
const ownPortAnswer = noAnswer

// A thousand ports are opened and closed quickly, and add no rules.
func TestThousandPortsArePublished(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
		s.runPeer(s.a, "other", "--network net -p 8080:80")
		before := s.ruleset()
		begin := time.Now()
		s.runPeer(s.a, "web", "--network net -p 20000-20999:20000-20999", "tcp/20000", "tcp/20500", "tcp/20999")
		t.Logf("%s: %s", s.driver, time.Since(begin))
		var open []question
		for _, port := range []int{20000, 20500, 20999} {
			open = append(open, question{"outside", fmt.Sprintf("tcp/%s:%d", hostA4, port), fmt.Sprintf("web:%d from %s", port, outside4)},
				question{"host-a", fmt.Sprintf("tcp/[%s]:%d", hostA6, port), fmt.Sprintf("web:%d", port)})
		}
		s.checkAnswers(open...)
		s.checkAnswers(question{"outside", "tcp/" + hostA4 + ":19999", noAnswer}, question{"outside", "tcp/" + hostA4 + ":21000", noAnswer})
		s.removeContainers("web")
		s.checkAnswers(closedAnswers(open, s.driver)...)
		if after := s.ruleset(); after != before {
			t.Errorf("rules before\n%s\nand after\n%s", before, after)
		}
	})
}

// ruleset is what nft lists of the driver's table, in which sets are sorted: the kernel lists their
// elements in any order.
func (s *scene) ruleset() string {
	s.Helper()
	table := "vxlan-driver"
	if s.driver == "bridge" {
		table = "netavark"
	}
	return normalizeRuleset(s.mustRun(s.a, "nft -s list table inet "+table)) // -s: without what counters have counted
}

// normalizeRuleset sorts the elements of each set, and what was wrapped onto several lines.
func normalizeRuleset(listing string) string {
	var out []string
	var elements *strings.Builder
	for line := range strings.Lines(listing) {
		trimmed := strings.TrimSpace(line)
		switch {
		case elements != nil:
			elements.WriteString(" " + trimmed)
		case strings.HasPrefix(trimmed, "elements = {"):
			elements = &strings.Builder{}
			elements.WriteString(trimmed)
		default:
			out = append(out, trimmed)
			continue
		}
		if strings.HasSuffix(trimmed, "}") {
			out = append(out, sortElements(elements.String()))
			elements = nil
		}
	}
	return strings.Join(out, "\n")
}

func sortElements(set string) string {
	inner := strings.TrimSuffix(strings.TrimPrefix(set, "elements = {"), "}")
	elements := strings.Split(inner, ",")
	for i := range elements {
		elements[i] = strings.Join(strings.Fields(elements[i]), " ")
	}
	slices.Sort(elements)
	return "elements = { " + strings.Join(elements, ", ") + " }"
}
