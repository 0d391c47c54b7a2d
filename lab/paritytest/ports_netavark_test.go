package paritytest

import (
	"strings"
	"testing"
)

// host_ip as netavark hands it on; Podman's command line turns 0.0.0.0 into none and refuses what
// is no address.
func TestHostIPOfPublishedPorts(t *testing.T) {
	t.Parallel()
	both := "udp/" + hostA4 + ":8080"
	both6 := "udp/[" + hostA6 + "]:8080"
	tests := []struct {
		name, hostIP string
		want4, want6 string
	}{
		{"none is both families", "", "c", "c"},
		{"0.0.0.0 is IPv4 only", "0.0.0.0", "c", noAnswer},
		{":: is IPv6 only", "::", noAnswer, "c"},
		{"an IPv4 address is skipped for IPv6", hostA4, "c", noAnswer},
		{"an IPv6 address is skipped for IPv4", hostA6, noAnswer, "c"},
		{"an address that is not the host's is no error", "198.18.0.77", noAnswer, noAnswer},
	}
	onBoth(t, 1, func(s *scene) {
		s.mustRun(s.a, "ip netns add c")
		for _, tt := range tests {
			s.runSubtest(tt.name, func(s *scene) {
				r := request{id: "c", perNet: object{"static_mac": "02:00:00:00:00:20"}, ports: []object{
					{"container_port": 80, "host_port": 8080, "protocol": "tcp", "range": 1, "host_ip": tt.hostIP},
					{"container_port": 80, "host_port": 8080, "protocol": "udp", "range": 0, "host_ip": tt.hostIP},
				}}
				s.mustRun(s.a, s.runNetavark("setup", r))
				s.runPeerInNetns("c")
				for _, protocol := range []string{"tcp", "udp"} {
					s.checkAnswers(question{"outside", strings.Replace(both, "udp", protocol, 1), wantPort80(tt.want4)},
						question{"outside", strings.Replace(both6, "udp", protocol, 1), wantPort80(tt.want6)})
				}
				s.mustRun(s.a, "ip netns pids c | xargs -r kill; "+s.runNetavark("teardown", r))
				s.checkAnswers(question{"outside", both, noAnswer}, question{"outside", both6, noAnswer})
			})
		}
		s.runSubtest("what is no address is an error", func(s *scene) {
			r := request{id: "c", ports: []object{{"container_port": 80, "host_port": 8080, "protocol": "tcp", "range": 1, "host_ip": "10.0.0.256"}}}
			got := s.mustFail(s.a, s.runNetavark("setup", r))
			for _, want := range []string{"host", "10.0.0.256", "8080"} {
				if !strings.Contains(got, want) {
					t.Errorf("the error does not say %q: %s", want, got)
				}
			}
			if s.driver == "vxlan" { // netavark's bridge leaves its half
				s.checkNothingLeft()
			}
		})
	})
}

func wantPort80(server string) string {
	if server == noAnswer {
		return noAnswer
	}
	return server + ":80"
}

// checkNothingLeft fails if host-a has anything of the vxlan driver's.
func (s *scene) checkNothingLeft() {
	s.Helper()
	got := s.mustRun(s.a, "ip -br link | grep -v -e ^lo -e ^eth0@ -e ^podman || true; find /run/vxlan -type f ! -name lock ! -name vxland.lock ! -name vxland.log 2>/dev/null || true; "+
		"nft list tables | grep -v 'inet netavark' || true")
	if got != "" {
		s.Errorf("left: %s", got)
	}
}
