package paritytest

import (
	"fmt"
	"testing"

	"vxlan-driver/lab/labtest"
)

// After `nft flush ruleset`, vxlanctl reload restores published ports, masquerading, isolation and
// protection.
func TestReloadAfterFlush(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 2, labtest.Binary(t, "vxlanctl"))
	s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64 --opt isolate=true")
	s.createNetwork("other", "--subnet 10.8.0.0/24 --opt isolate=true")
	s.createNetwork("inner", "--internal --subnet 10.7.0.0/24")
	s.runPeer(s.a, "web", "--network net:ip=10.9.0.20,ip=fd00:9::20 -p 8080:80 -p 8080:80/udp -p 127.0.0.1:9000-9009:80-89")
	s.runPeer(s.a, "other", "--network other:ip=10.8.0.20 -p 8081:80")
	s.runPeer(s.a, "inner", "--network inner:ip=10.7.0.20")
	s.runPeer(s.b, "far", "--network net:ip=10.9.0.200,ip=fd00:9::200")
	all := []question{
		{"outside", "tcp/" + hostA4 + ":8080", "web:80 from " + outside4},
		{"outside", "udp/[" + hostA6 + "]:8080", "web:80 from " + outside6},
		{"outside", "tcp/" + hostA4 + ":8081", "other:80"},
		{"host-a", "tcp/127.0.0.1:9000", "web:80"},
		{"web", "tcp/" + outside4 + ":7000", "outside:7000 from " + hostA4},
		{"web", "tcp/10.9.0.200:80", "far:80 from 10.9.0.20"},
		{"web", "tcp/10.8.0.20:80", noAnswer},
		{"other", "tcp/10.9.0.20:80", noAnswer},
		{"other", "tcp/10.7.0.20:80", noAnswer},
	}
	s.checkAnswers(all...)
	before := s.ruleset()
	// Else the agent has the rules back in 0.3 s.
	s.mustRun(s.a, labtest.FreezeAgent+"; nft flush ruleset")
	s.checkAnswers(question{"outside", "tcp/" + hostA4 + ":8080", noAnswer}) // the flush did something
	if got := s.mustRun(s.a, labtest.ThawAgent+"; vxlanctl reload 2>&1 >/dev/null"); got != "" {
		t.Errorf("reload says on stderr: %s", got)
	}
	s.checkAnswers(all...)
	if after := s.ruleset(); after != before {
		t.Errorf("before\n%s\nand after\n%s", before, after)
	}
	s.mustRun(s.a, "vxlanctl reload && vxlanctl reload")
	if again := s.ruleset(); again != before {
		t.Errorf("a reload of what is there changed it to\n%s", again)
	}
	// Teardown after a reload leaves nothing.
	s.removeContainers("web", "other", "inner")
	s.checkNothingLeft()
	s.mustRun(s.a, "vxlanctl reload") // with nothing to do
	s.checkNothingLeft()
}

// podman network reload restores the rules too; for a bridge it is the only way.
func TestPodmanReloadAfterFlush(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
		s.runPeer(s.a, "web", "--network net -p 8080:80")
		s.mustRun(s.a, "nft flush ruleset; podman network reload -a")
		s.checkAnswers(
			question{"outside", "tcp/" + hostA4 + ":8080", "web:80"},
			question{"outside", "tcp/[" + hostA6 + "]:8080", "web:80"},
			question{"host-a", "tcp/127.0.0.1:8080", "web:80"},
			question{"web", "tcp/" + outside4 + ":7000", "outside:7000 from " + hostA4},
		)
	})
}

// An administrator can save nft's listing of the tables and load it again.
func TestNftListingCanBeLoaded(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	for i, isolate := range []string{"false", "true", "strict"} {
		s.createNetwork(isolate, fmt.Sprintf("--opt isolate=%s --subnet 10.%d.0.0/24", isolate, i+1))
		s.runPeer(s.a, isolate, "--network "+isolate)
	}
	s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
	s.createNetwork("inner", "--internal --subnet 10.7.0.0/24")
	s.runPeer(s.a, "web", "--network net -p 8080:80 -p 8081-8090:81-90/udp -p ["+hostA6+"]:8443:80 -p 9000:80/sctp")
	s.runPeer(s.a, "inner", "--network inner")
	before := s.ruleset()
	s.mustRun(s.a, "nft list table inet vxlan-driver > /tmp/table && nft delete table inet vxlan-driver && nft -f /tmp/table")
	if after := s.ruleset(); after != before {
		t.Errorf("before\n%s\nand after\n%s", before, after)
	}
	s.checkAnswers(
		question{"outside", "tcp/" + hostA4 + ":8080", "web:80"},
		question{"web", "tcp/" + outside4 + ":7000", "outside:7000 from " + hostA4},
	)
	// The driver takes the loaded table for its own.
	s.removeContainers("-a")
	s.checkNothingLeft()
}
