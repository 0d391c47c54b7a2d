package paritytest

import (
	"fmt"
	"strings"
	"testing"
)

// web is a container with ports in both families.
func web(id string, n int) request {
	return request{id: id, perNet: object{"static_ips": []string{fmt.Sprintf("10.9.0.%d", 20+n), fmt.Sprintf("fd00:9::%d", 20+n)}}, ports: []object{
		{"container_port": 80, "host_port": 8080 + n, "protocol": "tcp", "range": 1, "host_ip": ""},
		{"container_port": 80, "host_port": 9000 + 10*n, "protocol": "udp", "range": 10, "host_ip": hostA4},
	}}
}

// Each is a teardown, as netavark of some version or somebody's script gives it, after which nothing is left. To the plugin itself:
// netavark 1.14 does not even call it where the namespace is gone.
func TestTeardownIsComplete(t *testing.T) {
	const setup, teardown = "setup", "teardown"
	tests := []struct {
		name   string
		script func(s *scene) string
	}{
		{"twice", func(s *scene) string {
			return s.plugin(setup, web("one", 1)) + ";" + s.plugin(teardown, web("one", 1)) + ";" + s.plugin(teardown, web("one", 1))
		}},
		{"without the namespace", func(s *scene) string {
			return s.plugin(setup, web("one", 1)) + "; ip netns del one;" + s.plugin(teardown, web("one", 1)) + "; ip netns add one"
		}},
		{"without the container's interface", func(s *scene) string {
			return s.plugin(setup, web("one", 1)) + "; ip -n one link del eth0;" + s.plugin(teardown, web("one", 1))
		}},
		{"without a setup", func(s *scene) string { return s.plugin(teardown, web("one", 1)) }},
		{"the first before the second", func(s *scene) string {
			return s.plugin(setup, web("one", 1)) + ";" + s.plugin(setup, web("two", 2)) + ";" +
				s.plugin(teardown, web("one", 1)) + ";" + s.plugin(teardown, web("two", 2))
		}},
		{"the second before the first", func(s *scene) string {
			return s.plugin(setup, web("one", 1)) + ";" + s.plugin(setup, web("two", 2)) + ";" +
				s.plugin(teardown, web("two", 2)) + ";" + s.plugin(teardown, web("one", 1))
		}},
		{"after all rules were flushed", func(s *scene) string {
			return s.plugin(setup, web("one", 1)) + "; nft flush ruleset;" + s.plugin(teardown, web("one", 1))
		}},
		{"after the bridge was deleted", func(s *scene) string {
			return s.plugin(setup, web("one", 1)) + "; ip link del direct0;" + s.plugin(teardown, web("one", 1))
		}},
		{"after the records were deleted", func(s *scene) string {
			return s.plugin(setup, web("one", 1)) + "; rm -rf /run/vxlan;" + s.plugin(teardown, web("one", 1))
		}},
		{"with an option that has become invalid", func(s *scene) string {
			bad := web("one", 1)
			bad.options = object{"isolate": "x", "outbound_addr4": "x", "vni": "0"}
			return s.plugin(setup, web("one", 1)) + ";" + s.plugin(teardown, bad)
		}},
	}
	s := newScene(t, "vxlan", 1)
	s.sh(s.a, "ip netns add one; ip netns add two")
	for _, tt := range tests {
		s.run(tt.name, func(s *scene) {
			s.sh(s.a, tt.script(s))
			s.nothingLeft()
		})
	}
}

// A signal while the plugin works leaves nothing behind: the teardown is completed, and a setup is completed or undone.
func TestSignals(t *testing.T) {
	s := newScene(t, "vxlan", 1)
	s.sh(s.a, "ip netns add one")
	run := func(verb string, delay int, signal string) string {
		return fmt.Sprintf("setsid %s >/tmp/out 2>&1 & plugin=$!\nbusybox usleep %d; kill -%s -- -$plugin 2>/dev/null || kill -%s $plugin 2>/dev/null || true\nwait $plugin || true\n",
			s.plugin(verb, web("one", 1)), delay, signal, signal)
	}
	for _, signal := range []string{"TERM", "INT"} {
		for delay := 0; delay <= 30_000; delay += 3_000 {
			s.sh(s.a, s.plugin("setup", web("one", 1))+"\n"+run("teardown", delay, signal))
			s.nothingLeft()
			if t.Failed() {
				t.Fatalf("%s after %d µs: the plugin said %s", signal, delay, s.sh(s.a, "cat /tmp/out"))
			}
		}
	}
	// kill -9 may leave what it will; the next teardown clears it.
	for _, verb := range []string{"setup", "teardown"} {
		for delay := 0; delay <= 12_000; delay += 2_000 {
			first := ""
			if verb == "teardown" {
				first = s.plugin("setup", web("one", 1)) + "\n"
			}
			s.sh(s.a, first+run(verb, delay, "KILL")+s.plugin("teardown", web("one", 1)))
			s.nothingLeft()
			if t.Failed() {
				t.Fatalf("%s killed after %d µs", verb, delay)
			}
		}
	}
}

// What cannot be removed is reported, and all else is removed.
func TestTeardownReportsTheRest(t *testing.T) {
	s := newScene(t, "vxlan", 1)
	s.sh(s.a, "ip netns add one; ip netns add two")
	s.sh(s.a, s.plugin("setup", web("one", 1))+";"+s.plugin("setup", web("two", 2)))
	s.sh(s.a, readOnly) // route_localnet cannot be turned off any more
	out, err := s.a.Sh(t.Context(), s.plugin("teardown", web("one", 1))+" 2>&1;"+s.plugin("teardown", web("two", 2))+" 2>&1")
	if err != nil && !strings.Contains(out, `"error"`) {
		t.Errorf("a failure without a message: %s: %v", out, err)
	}
	s.sh(s.a, s.plugin("teardown", web("two", 2))+" || true")
	s.nothingLeft()
}
