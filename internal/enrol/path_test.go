package enrol

import (
	"strings"
	"testing"
	"time"
)

// Each loss names the port, and where to open it.
func TestPathFindings(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*PathSides)
		fatal bool
		want  string // "": nothing is wrong
	}{
		{"all in order", func(*PathSides) {}, false, ""},
		{"TCP to there", func(s *PathSides) { s.Mine.TCP = "connection refused" }, true, "TCP 7947 of host-a is not reached from here (connection refused): open it there"},
		{"TCP to here", func(s *PathSides) { s.Theirs.TCP = "no answer" }, true, "TCP 7947 of this host is not reached from host-a (no answer): open it here"},
		{"UDP to there", func(s *PathSides) { s.Theirs.UDP = false }, true, "UDP 7947: what this host sends does not arrive at host-a: open the port there"},
		{"UDP to here", func(s *PathSides) { s.Mine.UDP = false }, true, "UDP 7947: what host-a sends does not arrive here: open the port on this host"},
		{"UDP that nobody could hear there", func(s *PathSides) { s.Theirs.UDP = false; s.PeerReady.NoAgentPort = "x" }, false, ""},
		{"tunnel to there", func(s *PathSides) { s.Theirs.Heard, s.Theirs.Tunnel, s.Mine.Tunnel = false, false, false }, true, "UDP 4789: what this host sends does not arrive at host-a"},
		{"tunnel to here", func(s *PathSides) { s.Mine.Heard, s.Theirs.Tunnel, s.Mine.Tunnel = false, false, false }, true, "UDP 4789: what host-a sends does not arrive here"},
		{"tunnel that could not be tried here", func(s *PathSides) { s.SelfReady.NoTunnel = "has no module vxlan"; s.Mine = PathReport{UDP: true} }, false, "UDP 4789 was not tried: this host has no module vxlan"},
		{"tunnel that could not be tried there", func(s *PathSides) { s.PeerReady.NoTunnel = "has gbp on the port"; s.Theirs = PathReport{UDP: true} }, false, "UDP 4789 was not tried: host-a has gbp on the port"},
		{"a hop with a smaller MTU", func(s *PathSides) { s.Theirs.Largest = 1400 }, true, "UDP 4789: packets of more than 1400 bytes are lost on the way, though both interfaces have MTU 1500"},
		{"large packets", func(s *PathSides) { s.Mine.Largest = 0 }, true, "UDP 4789: small packets pass, large ones are lost"},
		{"a port that no network has yet", func(s *PathSides) { s.Theirs.Heard, s.Theirs.Tunnel, s.PortUnused = false, false, true }, false, "UDP 4789: what this host sends does not arrive at host-a"},
		{"the tunnel alone", func(s *PathSides) { s.Spec.AgentPort, s.Mine.TCP, s.Theirs.UDP, s.SelfMTU = 0, "x", false, 9000 }, false, ""},
		{"interfaces that differ", func(s *PathSides) { s.SelfMTU = 9000 }, false, "the interface here has MTU 9000, that of host-a 1500"},
		{"a clock that is behind", func(s *PathSides) { s.ClockAhead = -time.Hour }, false, "the clock of host-a is 1h0m0s behind this host's"},
		{"a clock that is ahead", func(s *PathSides) { s.ClockAhead = 6 * time.Second }, false, "the clock of host-a is 6s ahead of this host's"},
		{"a clock that is as far ahead as the answer took", func(s *PathSides) { s.ClockAhead, s.ClockAccuracy = 6*time.Second, 2*time.Second }, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := PathSides{
				Spec: PathSpec{MTU: 1500, AgentPort: 7947, TunnelPort: 4789}, Self: "this host", Peer: "host-a",
				Mine: goodReport, Theirs: goodReport, SelfMTU: 1500, PeerMTU: 1500,
			}
			tt.spoil(&s)
			found := s.Findings()
			if tt.want == "" {
				if len(found) > 0 {
					t.Errorf("found %+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Fatal != tt.fatal || !strings.HasPrefix(found[0].Text, tt.want) {
				t.Errorf("found %+v, want %s", found, tt.want)
			}
		})
	}
}

// Whatever is lost by however many tunnel ports, a join is done before its session is over.
func TestPathsFitASession(t *testing.T) {
	for _, ports := range []int{0, 1, 2, 8, 20} {
		s := &Session{Offer: Offer{AgentPort: 7947}}
		for i := range ports {
			s.Offer.TunnelPorts = append(s.Offer.TunnelPorts, uint16(8472+i))
		}
		specs, total := s.PathSpecs(1500), time.Duration(0)
		for _, spec := range specs {
			if spec.Within < 25*time.Second {
				t.Errorf("%d ports: only %v for each", ports, spec.Within)
			}
			total += spec.timeLimit()
		}
		if total+30*time.Second > sessionTimeout {
			t.Errorf("%d ports may take %v", ports, total)
		}
	}
}

// Both hosts stop trying when the time is over, and report what they have found.
func TestPathsEndInTime(t *testing.T) {
	r := newRig(t)
	r.issuer.slow = true
	s := r.joiner("host-b").enter(r.token())
	defer s.Close()
	spec := s.PathSpecs(1500)[0]
	spec.Within = 50 * time.Millisecond
	began := time.Now()
	sides, err := s.Probe(t.Context(), spec, &fakePath{report: goodReport, slow: true}, 1500)
	if took := time.Since(began); err != nil || took > 10*time.Second || sides.Theirs != goodReport || sides.Mine != goodReport {
		t.Errorf("%v after %v: %+v", err, took, sides)
	}
}
