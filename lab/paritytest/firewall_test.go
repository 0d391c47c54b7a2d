package paritytest

import (
	"fmt"
	"strings"
	"testing"
)

// userTable is what a user may have: a name of his own, chains at our hooks, and a set.
const userTable = `table inet mine {
	set friends {
		type ipv4_addr
		elements = { 192.0.2.1, 192.0.2.2 }
	}
	chain input {
		type filter hook input priority 0; policy accept;
		tcp dport 1 drop
		ip saddr @friends accept
	}
	chain forward {
		type filter hook forward priority 0; policy accept;
		ip daddr 192.0.2.0/24 drop
	}
}
table ip nat {
	chain POSTROUTING {
		type nat hook postrouting priority 100; policy accept;
		ip saddr 192.0.2.0/24 masquerade
	}
}
table bridge mine {
}`

// Setup, teardown and reload leave alone what is not ours, to the byte and to the handle.
func TestOtherProgramsTablesAreNotTouched(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	if err := s.a.WriteFile("/tmp/user.nft", []byte(userTable), 0o644); err != nil {
		t.Fatal(err)
	}
	s.mustRun(s.a, "nft -f /tmp/user.nft")
	s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64 --opt isolate=strict")
	s.runPeer(s.a, "stranger", "--network podman -p 8081:80") // netavark's own table too
	list := func() string {
		return s.mustRun(s.a, "nft -a list table inet mine; nft -a list table ip nat; nft -a list table bridge mine; nft -a list table inet netavark")
	}
	before := list()
	s.runPeer(s.a, "web", "--network net -p 8080:80")
	during := list()
	s.mustRun(s.a, "podman network reload web")
	s.removeContainers("web")
	if after := list(); during != before || after != before {
		t.Errorf("before\n%s\nduring\n%s\nafter\n%s", before, during, after)
	}
}

// The first container makes all rules there will be; another adds elements, and a packet passes no
// rule more.
func TestRulesDoNotGrowWithContainers(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
	s.createNetwork("strict", "--subnet 10.8.0.0/24 --opt isolate=strict")
	add := func(i int) {
		s.mustRun(s.a, fmt.Sprintf("podman run -d --name c%[1]d --network net -p %[2]d:80 -p %[2]d:80/udp -p 127.0.0.1:%[3]d-%[4]d:80-89 localhost/web",
			i, 8000+i, 10000+10*i, 10009+10*i))
	}
	add(1)
	rules, elements := s.countRules()
	for i := 2; i <= 30; i++ {
		add(i)
	}
	s.mustRun(s.a, "podman run -d --name other --network strict -p 9000:80 localhost/web")
	manyRules, manyElements := s.countRules()
	if manyRules != rules {
		t.Errorf("rules and chains: %d with a container, %d with thirty", rules, manyRules)
	}
	// Two families; two ports and a range of ten each.
	if manyElements < elements+29*(2*2+10) {
		t.Errorf("elements: %d with a container, %d with thirty", elements, manyElements)
	}
	s.mustRun(s.a, "podman rm -f -t0 other $(seq -f 'c%g' 2 30)")
	if r, e := s.countRules(); r != rules || e != elements {
		t.Errorf("with one container again: %d rules and chains, %d elements, want %d and %d", r, e, rules, elements)
	}
	s.removeContainers("c1")
	s.checkNothingLeft()
}

// countRules gives rules and chains of our table, and the elements in its sets and maps.
func (s *scene) countRules() (rules, elements int) {
	s.Helper()
	for line := range strings.Lines(normalizeRuleset(s.mustRun(s.a, "nft -a list table inet vxlan-driver"))) {
		switch {
		case strings.HasPrefix(line, "elements = {"):
			elements += strings.Count(line, ",") + 1
		case strings.Contains(line, "# handle") && !strings.HasPrefix(line, "set ") && !strings.HasPrefix(line, "map "):
			rules++
		}
	}
	return rules, elements
}
