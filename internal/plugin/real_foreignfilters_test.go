package plugin

import (
	"strings"
	"testing"
)

// A hardened ruleset: containers reach neither each other nor the world. The first start says so,
// the next does not. With the lines that it gives all passes, and a new first start is silent.
func TestRealBlockingChains(t *testing.T) {
	a, _ := newRealHosts(t)
	runShell(t, a.ns, `ip route add default via 198.18.0.11
nft 'table inet hardened {
	chain input { type filter hook input priority 0; policy drop; ct state established,related accept; iif lo accept; tcp dport 22 accept; }
	chain forward { type filter hook forward priority 0; policy drop; ct state established,related accept; }
}'`)
	var warnings []string
	a.Warn = func(message string) { warnings = append(warnings, message) }
	ns1, r1 := realRequest(t, "198.18.0.10", 1)
	ns2, r2 := realRequest(t, "198.18.0.10", 2)
	if _, err := a.Setup(ns1, r1); err != nil {
		t.Fatal(err)
	}
	if len(warnings) != 2 { // input and forward
		t.Fatalf("warned %q", warnings)
	}
	lines := ""
	for _, w := range warnings {
		_, typed, _ := strings.Cut(w, "type: ")
		lines += typed + "\n"
	}
	t.Log(strings.Join(warnings, "\n"))
	first := warnings
	warnings = nil
	if _, err := a.Reload(); err != nil || len(warnings) != len(first) {
		t.Errorf("reload: %v, %q", err, warnings)
	}
	warnings = nil
	if _, err := a.Setup(ns2, r2); err != nil || len(warnings) > 0 {
		t.Fatalf("the second start: %v, %q", err, warnings)
	}
	reaches := func(addr string) bool {
		return strings.Contains(runShell(t, ns1, "ping -c 1 -W 1 "+addr+" || true"), " 0% packet loss")
	}
	const neighbour, world = "10.0.0.3", "198.18.0.11"
	if reaches(neighbour) || reaches(world) {
		t.Error("what is said to be dropped passes")
	}
	runShell(t, a.ns, lines)
	if !reaches(neighbour) || !reaches(world) {
		t.Errorf("what is dropped still, after\n%s", lines)
	}
	for _, e := range []func() error{
		func() error { return a.Teardown(ns1, r1) }, func() error { return a.Teardown(ns2, r2) },
		func() error { _, err := a.Setup(ns1, r1); return err },
	} {
		if err := e(); err != nil {
			t.Fatal(err)
		}
	}
	if len(warnings) > 0 {
		t.Errorf("with the lines it still warns %q", warnings)
	}
}
