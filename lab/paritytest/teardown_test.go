package paritytest

import (
	"fmt"
	"strings"
	"testing"
)

// webContainer is a container with ports in both families.
func webContainer(id string, n int) request {
	return request{id: id, perNet: object{"static_ips": []string{fmt.Sprintf("10.9.0.%d", 20+n), fmt.Sprintf("fd00:9::%d", 20+n)}}, ports: []object{
		{"container_port": 80, "host_port": 8080 + n, "protocol": "tcp", "range": 1, "host_ip": ""},
		{"container_port": 80, "host_port": 9000 + 10*n, "protocol": "udp", "range": 10, "host_ip": hostA4},
	}}
}

// Whatever netavark or a script passes to teardown, nothing is left. The plugin is called directly,
// since netavark 1.14 does not call it if the namespace is gone.
func TestTeardownIsComplete(t *testing.T) {
	t.Parallel()
	const setup, teardown = "setup", "teardown"
	tests := []struct {
		name   string
		script func(s *scene) string
	}{
		{"twice", func(s *scene) string {
			return s.runPlugin(setup, webContainer("one", 1)) + ";" + s.runPlugin(teardown, webContainer("one", 1)) + ";" + s.runPlugin(teardown, webContainer("one", 1))
		}},
		{"without the namespace", func(s *scene) string {
			return s.runPlugin(setup, webContainer("one", 1)) + "; ip netns del one;" + s.runPlugin(teardown, webContainer("one", 1)) + "; ip netns add one"
		}},
		{"without the container's interface", func(s *scene) string {
			return s.runPlugin(setup, webContainer("one", 1)) + "; ip -n one link del eth0;" + s.runPlugin(teardown, webContainer("one", 1))
		}},
		{"without a setup", func(s *scene) string { return s.runPlugin(teardown, webContainer("one", 1)) }},
		{"the first before the second", func(s *scene) string {
			return s.runPlugin(setup, webContainer("one", 1)) + ";" + s.runPlugin(setup, webContainer("two", 2)) + ";" +
				s.runPlugin(teardown, webContainer("one", 1)) + ";" + s.runPlugin(teardown, webContainer("two", 2))
		}},
		{"the second before the first", func(s *scene) string {
			return s.runPlugin(setup, webContainer("one", 1)) + ";" + s.runPlugin(setup, webContainer("two", 2)) + ";" +
				s.runPlugin(teardown, webContainer("two", 2)) + ";" + s.runPlugin(teardown, webContainer("one", 1))
		}},
		{"after all rules were flushed", func(s *scene) string {
			return s.runPlugin(setup, webContainer("one", 1)) + "; nft flush ruleset;" + s.runPlugin(teardown, webContainer("one", 1))
		}},
		{"after the bridge was deleted", func(s *scene) string {
			return s.runPlugin(setup, webContainer("one", 1)) + "; ip link del direct0;" + s.runPlugin(teardown, webContainer("one", 1))
		}},
		{"after the records were deleted", func(s *scene) string {
			return s.runPlugin(setup, webContainer("one", 1)) + "; rm -rf /run/vxlan;" + s.runPlugin(teardown, webContainer("one", 1))
		}},
		{"with an option that has become invalid", func(s *scene) string {
			bad := webContainer("one", 1)
			bad.options = object{"isolate": "x", "outbound_addr4": "x", "vni": "0"}
			return s.runPlugin(setup, webContainer("one", 1)) + ";" + s.runPlugin(teardown, bad)
		}},
	}
	s := newScene(t, "vxlan", 1)
	s.mustRun(s.a, "ip netns add one; ip netns add two")
	for _, tt := range tests {
		s.runSubtest(tt.name, func(s *scene) {
			s.mustRun(s.a, tt.script(s))
			s.checkNothingLeft()
		})
	}
}

// After a signal nothing is left: the plugin completes its work. A signal that comes while the
// program is still loading kills it before it has changed anything.
func TestSignalsDoNotInterruptPlugin(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	s.mustRun(s.a, "ip netns add one")
	for _, signal := range []string{"TERM", "INT", "HUP", "QUIT"} {
		for delay := 0; delay <= 30_000; delay += 3_000 {
			setup := s.runPlugin("setup", webContainer("one", 1)) + " >/dev/null\n"
			status := s.mustRun(s.a, setup+s.runInterrupted("teardown", delay, signal))
			if status != "0" {
				s.mustRun(s.a, "ip link show vxlan-direct && ip -n one link show eth0 && ls /run/vxlan/networks/*/endpoints/one.json")
				s.mustRun(s.a, s.runPlugin("teardown", webContainer("one", 1)))
			}
			s.checkNothingLeft()
			if t.Failed() {
				t.Fatalf("%s after %d µs: exit status %s", signal, delay, status)
			}
		}
	}
}

// Whatever kill -9 leaves, the next teardown removes it.
func TestTeardownCleansUpAfterKilledPlugin(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	s.mustRun(s.a, "ip netns add one")
	for _, verb := range []string{"setup", "teardown"} {
		for delay := 0; delay <= 12_000; delay += 1_000 {
			first := ""
			if verb == "teardown" {
				first = s.runPlugin("setup", webContainer("one", 1)) + " >/dev/null\n"
			}
			s.mustRun(s.a, first+s.runInterrupted(verb, delay, "KILL")+s.runPlugin("teardown", webContainer("one", 1)))
			s.checkNothingLeft()
			if t.Failed() {
				t.Fatalf("%s killed after %d µs", verb, delay)
			}
		}
	}
}

// runInterrupted is a script that runs a verb, sends it a signal after some microseconds, and
// prints its exit status. The signal goes to the process group, as from a terminal, or to the
// process if it has no group yet.
func (s *scene) runInterrupted(verb string, delay int, signal string) string {
	s.Helper()
	return fmt.Sprintf("setsid %[1]s >/tmp/out 2>&1 & plugin=$!\nbusybox usleep %[2]d\n"+
		"kill -%[3]s -- -$plugin 2>/dev/null || kill -%[3]s $plugin 2>/dev/null || true\nwait $plugin && echo 0 || echo $?\n",
		s.runPlugin(verb, webContainer("one", 1)), delay, signal)
}

// Teardown reports what it cannot remove, and removes everything else.
func TestTeardownReportsWhatItCannotRemove(t *testing.T) {
	t.Parallel()
	s := newScene(t, "vxlan", 1)
	s.mustRun(s.a, "ip netns add one; ip netns add two")
	s.mustRun(s.a, s.runPlugin("setup", webContainer("one", 1))+";"+s.runPlugin("setup", webContainer("two", 2)))
	s.mustRun(s.a, makeSysctlsReadOnly) // route_localnet cannot be turned off any more
	out, err := s.a.Sh(t.Context(), s.runPlugin("teardown", webContainer("one", 1))+" 2>&1;"+s.runPlugin("teardown", webContainer("two", 2))+" 2>&1")
	if err != nil && !strings.Contains(out, `"error"`) {
		t.Errorf("a failure without a message: %s: %v", out, err)
	}
	s.mustRun(s.a, s.runPlugin("teardown", webContainer("two", 2))+" || true")
	s.checkNothingLeft()
}
