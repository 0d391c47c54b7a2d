package paritytest

import (
	"fmt"
	"strings"
	"testing"
)

// island is a network with one container, both of that name.
type island struct {
	driver, isolate string
	effective       string // what isolate amounts to on the host
	number          int
}

// unset is a network without the option.
const unset = "unset"

// effectiveIsolation returns what a setting amounts to with the host's netavark.
func (s *scene) effectiveIsolation(isolate string) string {
	switch {
	case isolate != unset:
		return isolate
	case strings.Contains(s.mustRun(s.a, "/usr/lib/podman/netavark --version"), "netavark 1."):
		return "false"
	}
	return "strict"
}

func (i island) name() string { return fmt.Sprintf("%s-%s-%d", i.driver[:1], i.isolate, i.number) }
func (i island) addr() string { return fmt.Sprintf("10.%d.0.20", i.number) }
func (i island) addr6() string {
	return fmt.Sprintf("fd00:%d::20", i.number)
}

// mayReach tells whether two networks may reach each other. Two isolated ones may not, a strict one
// may reach none. It is the same in both directions.
func mayReach(from, to island) bool {
	switch {
	case from == to:
		return true
	case from.effective == "strict" || to.effective == "strict":
		return false
	default:
		return from.effective == "false" || to.effective == "false"
	}
}

// Each setting against each: among bridges, which is netavark's own doing and the model; and among
// vxlan networks and between the two kinds. Both families, both directions; the way out and the
// published ports stay open to all.
func TestIsolation(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		var islands []island
		for i, isolate := range []string{"false", "true", "strict", unset} {
			for j, driver := range []string{"bridge", "bridge", "vxlan", "vxlan"} {
				if driver == "bridge" || s.driver == "vxlan" {
					islands = append(islands, island{driver, isolate, s.effectiveIsolation(isolate), 10 + 4*i + j})
				}
			}
		}
		for _, i := range islands {
			option := "--opt isolate=" + i.isolate
			if i.isolate == unset {
				option = ""
			}
			s.createNetworkOf(i.driver, i.name(), fmt.Sprintf("%s --subnet 10.%d.0.0/24 --subnet fd00:%d::/64", option, i.number, i.number))
			s.runPeer(s.a, i.name(), fmt.Sprintf("--network %s:ip=%s,ip=%s -p %d:80", i.name(), i.addr(), i.addr6(), 8000+i.number))
		}
		var questions []question
		for _, from := range islands {
			questions = append(questions, questionsOfIsland(from, islands)...)
		}
		s.checkAnswers(questions...)
		// What is not isolated any more, because its last container went, leaves no rule that
		// isolates.
		for _, i := range islands {
			s.removeContainers(i.name())
		}
		if s.driver == "vxlan" {
			s.checkNothingLeft()
		}
	})
}

// questionsOfIsland ask from one network which others it reaches.
func questionsOfIsland(from island, islands []island) []question {
	all := []question{
		{from.name(), "tcp/" + outside4 + ":7000", "outside:7000 from " + hostA4},
		{from.name(), "udp/[" + outside6 + "]:7000", "outside:7000 from " + hostA6},
		{"outside", fmt.Sprintf("tcp/%s:%d", hostA4, 8000+from.number), from.name() + ":80"},
		{"host-a", fmt.Sprintf("tcp/127.0.0.1:%d", 8000+from.number), from.name() + ":80"},
	}
	for _, to := range islands {
		want := noAnswer
		if mayReach(from, to) {
			want = to.name() + ":80"
		}
		all = append(all, question{from.name(), "tcp/" + to.addr() + ":80", want}, question{from.name(), "udp/[" + to.addr6() + "]:80", want})
		// What is published is open to all, by the host's address. netavark's bridges have that
		// among themselves from version 2.1 on. No container reaches its own published port.
		if from != to && (from.driver == "vxlan" || to.driver == "vxlan") {
			all = append(all, question{from.name(), fmt.Sprintf("tcp/%s:%d", hostA4, 8000+to.number), to.name() + ":80"},
				question{from.name(), fmt.Sprintf("tcp/[%s]:%d", hostA6, 8000+to.number), to.name() + ":80"})
		}
	}
	return all
}

// Containers of one isolated network reach each other, on whatever host.
func TestIsolatedNetworkIsOpenInside(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 2)
	for n, isolate := range []string{"true", "strict"} {
		net := fmt.Sprintf("10.%d.0", n+1)
		s.createNetwork(isolate, "--opt isolate="+isolate+" --subnet "+net+".0/24")
		s.runPeer(s.a, isolate, "--network "+isolate+":ip="+net+".20")
		s.runPeer(s.a, isolate+"2", "--network "+isolate+":ip="+net+".21")
		s.runPeer(s.b, isolate, "--network "+isolate+":ip="+net+".200")
		s.checkAnswers(
			question{isolate, "tcp/" + net + ".21:80", isolate + "2:80 from " + net + ".20"},
			question{isolate, "tcp/" + net + ".200:80", isolate + ":80 from " + net + ".20"},
			question{isolate + "@host-b", "udp/" + net + ".20:80", isolate + ":80 from " + net + ".200"},
			question{isolate, "tcp/" + outside4 + ":7000", "outside:7000 from " + hostA4},
		)
	}
	// Nor does the way over the other host lead from one isolated network into the other.
	s.checkAnswers(question{"true", "tcp/10.2.0.200:80", noAnswer}, question{"strict", "tcp/10.1.0.200:80", noAnswer})
}

func TestIsolateRefusesUnknownValue(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	got := s.mustFail(s.a, "podman network create --driver vxlan "+s.vxlanOptions("x")+" --opt isolate=somewhat --subnet 10.9.0.0/24 x")
	if !strings.Contains(got, "isolate") || !strings.Contains(got, "strict") {
		t.Errorf("the error does not name the option and what it takes: %s", got)
	}
}
