package paritytest

import (
	"testing"
)

// Whatever somebody made of the firewall, each of Podman's verbs works, and published ports are
// back with it. No agent runs where there are no names.
func TestVerbsAfterLostFirewall(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	s.createNetwork("n1", "--disable-dns --subnet 10.1.0.0/24")
	s.createNetwork("n2", "--disable-dns --subnet 10.2.0.0/24")
	s.createNetwork("n3", "--disable-dns --internal --subnet 10.3.0.0/24")
	run := func() { s.runPeer(s.a, "web", "--network n1 --network n2 --network n3 -p 8080:80") }
	run()
	check := func(s *scene) {
		s.Helper()
		s.checkAnswers(question{"outside", "tcp/" + hostA4 + ":8080", "web:80"})
	}
	check(s)
	for _, state := range []struct{ name, script string }{
		{"whole", "true"},
		{"all flushed", "nft flush ruleset"},
		{"no inet table", "nft delete table inet vxlan-driver"},
		{"no bridge table", "nft delete table bridge vxlan-driver || true"},
		{"tables of another version", `nft delete table inet vxlan-driver || true
			nft 'table inet vxlan-driver { map ports4 { type ipv4_addr : ipv4_addr; }; set bridges { type ipv4_addr; }; }'`},
	} {
		s.runSubtest(state.name, func(s *scene) {
			for _, verb := range []string{
				"rm /run/peer/web; podman restart -t0 web;" + awaitPeer("web"),
				"podman network disconnect n1 web",
				"podman network connect n1 web",
				"podman kill web; podman wait web; rm /run/peer/web; podman start web;" + awaitPeer("web"),
			} {
				s.mustRun(s.a, state.script)
				s.mustRun(s.a, verb)
				check(s)
			}
		})
	}
	s.mustRun(s.a, "nft flush ruleset")
	s.removeContainers("web")
	s.checkNothingLeft()
}

// A container whose namespace somebody unmounted is forgotten by the next start, with its published
// port.
func TestOrphanIsForgotten(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	s.createNetwork("n1", "--disable-dns --subnet 10.1.0.0/24")
	s.runPeer(s.a, "ghost", "--network n1 -p 8080:80")
	s.mustRun(s.a, `ns=$(podman inspect ghost -f '{{.NetworkSettings.SandboxKey}}'); umount -l $ns; rm -f $ns; podman rm -f -t0 ghost || true`)
	s.runPeer(s.a, "web", "--network n1")
	if got := s.mustRun(s.a, "ls /run/vxlan/networks/*/endpoints/*.json | wc -l; nft list ruleset | grep -c 8080 || true"); got != "1\n0" && got != "1\n0\n" {
		t.Errorf("records, and elements of the ghost's port: %q", got)
	}
	s.removeContainers("web")
	s.checkNothingLeft()
}
