package paritytest

import (
	"strings"
	"testing"

	"vxlan-driver/lab/labtest"
)

// Addresses that netavark hands on, as its versions do: one a subnet by position, or several a
// subnet in any order.
func TestStaticAddresses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		ips  []string
		want []string
	}{
		{"one a subnet", []string{"10.9.0.20", "fd00:9::20"}, []string{"10.9.0.20/24", "fd00:9::20/64"}},
		{"in another order", []string{"fd00:9::20", "10.9.0.20"}, []string{"10.9.0.20/24", "fd00:9::20/64"}},
		{"several in a subnet", []string{"10.9.0.20", "10.9.0.21", "fd00:9::20", "10.9.0.22", "fd00:9::21"},
			[]string{"10.9.0.20/24", "10.9.0.21/24", "10.9.0.22/24", "fd00:9::20/64", "fd00:9::21/64"}},
		{"one twice, as Podman's reload gives it", []string{"10.9.0.20", "fd00:9::20", "10.9.0.20", "fd00:9::20"}, []string{"10.9.0.20/24", "fd00:9::20/64"}},
	}
	s := newScene(t, "vxlan", 1) // netavark 1.14's bridge takes them by position only
	s.mustRun(s.a, "ip netns add c")
	for _, tt := range tests {
		s.runSubtest(tt.name, func(s *scene) {
			r := request{id: "c", perNet: object{"static_ips": tt.ips}}
			status := s.mustRun(s.a, s.runNetavark("setup", r))
			got := s.mustRun(s.a, "ip -n c -br address show eth0")
			for _, want := range tt.want {
				if !strings.Contains(got, want) || strings.Count(status, `"`+want+`"`) != 1 {
					s.Errorf("no %s, or not once in the status: %s, %s", want, got, status)
				}
			}
			s.runPeerInNetns("c")
			for _, want := range tt.want {
				ip, _, _ := strings.Cut(want, "/")
				if strings.Contains(ip, ":") {
					ip = "[" + ip + "]"
				}
				s.checkAnswers(question{"host-a", "tcp/" + ip + ":80", "c:80"})
			}
			s.mustRun(s.a, "ip netns pids c | xargs -r kill; "+s.runNetavark("teardown", r))
			s.checkNothingLeft()
		})
	}
	for _, bad := range []string{"10.8.0.20", "fd00:8::20", "10.9.0.1"} {
		s.runSubtest(bad+" is refused", func(s *scene) {
			got := s.mustFail(s.a, s.runNetavark("setup", request{id: "c", perNet: object{"static_ips": []string{bad, "fd00:9::20"}}}))
			if !strings.Contains(got, bad) {
				s.Errorf("the error does not name it: %s", got)
			}
			s.checkNothingLeft()
		})
	}
}

// Address and MAC of the user's choice, and both still there after a reload, with the ports.
func TestStaticAddressAndMACOutliveReload(t *testing.T) {
	t.Parallel()
	onBoth(t, 1, func(s *scene) {
		s.createNetwork("net", "--subnet 10.9.0.0/24 --subnet fd00:9::/64")
		s.runPeer(s.a, "c", "--network net:ip=10.9.0.20,ip=fd00:9::20,mac=02:00:00:00:00:77 -p 8080:80")
		s.runPeer(s.a, "neighbour", "--network net")
		check := func() {
			s.Helper()
			got := s.mustRun(s.a, "podman exec c ip address show eth0")
			for _, want := range []string{"inet 10.9.0.20/24", "inet6 fd00:9::20/64", "02:00:00:00:00:77"} {
				if strings.Count(got, want) != 1 {
					s.Errorf("%q is not there once: %s", want, got)
				}
			}
			s.checkAnswers(question{"outside", "tcp/" + hostA4 + ":8080", "c:80"}, question{"outside", "tcp/[" + hostA6 + "]:8080", "c:80"},
				question{"neighbour", "tcp/10.9.0.20:80", "c:80"}, question{"neighbour", "tcp/[fd00:9::20]:80", "c:80"})
		}
		check()
		if !labtest.ReloadsFixedAddress(s.T, s.a) {
			return
		}
		s.mustRun(s.a, "podman network reload c")
		check()
		s.mustRun(s.a, "podman network reload -a && podman network reload -a")
		check()
	})
}
