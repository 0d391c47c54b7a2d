package enrol

import (
	"context"
	"fmt"
	"net/netip"
	"time"
)

// PathSpec says which ways between two hosts are to be tried.
type PathSpec struct {
	// Nonce is in the packets to the agents' port, so that they are not others'.
	Nonce [16]byte `json:"nonce"`
	// VNI is of a tunnel that is made for this alone. It is random.
	VNI uint32 `json:"vni"`
	// MTU is that of the underlay on both hosts' interfaces, in bytes.
	MTU int `json:"mtu"`
	// AgentPort (UDP and TCP) and TunnelPort (UDP) are the ports that must be open. Without an
	// AgentPort only the tunnel is tried.
	AgentPort  uint16 `json:"agent_port,omitempty"`
	TunnelPort uint16 `json:"tunnel_port"`
	// Within is how long the ways may be tried; 0: as long as it takes.
	Within time.Duration `json:"within,omitempty"`
	// Ready is of the joining host, which is prepared before it asks.
	Ready PathReady `json:"ready"`

	Self, Peer netip.Addr `json:"-"`
}

// timeLimit is how long a host tries the ways, whatever another one asks for.
func (s PathSpec) timeLimit() time.Duration {
	if s.Within <= 0 {
		return probeTimeout
	}
	return min(s.Within, probeTimeout)
}

// PathReady is how far a host is prepared. What it is not prepared for cannot be tried.
type PathReady struct {
	// MAC is of the host's end of the tunnel.
	MAC string `json:"mac"`
	// NoTunnel says why the host has no end of the tunnel, NoAgentPort why it does not hear what
	// comes to the agents' port.
	NoTunnel    string `json:"no_tunnel,omitempty"`
	NoAgentPort string `json:"no_agent_port,omitempty"`
}

// Path is the ways between two hosts, prepared for being tried. Until it is closed it answers.
type Path interface {
	Ready() PathReady
	// Probe tries the ways to the other host, and reports what arrived there and here.
	Probe(ctx context.Context, peer PathReady) PathReport
	Close()
}

// PathReport is what one host found out.
type PathReport struct {
	// TCP is why the other host's agents' port could not be reached; "": it could.
	TCP string `json:"tcp,omitempty"`
	// UDP tells whether a packet of the other host's came to the agents' port here.
	UDP bool `json:"udp"`
	// Tunnel tells whether the other host answered through the tunnel, and Heard whether what it
	// sent arrived here.
	Tunnel bool `json:"tunnel"`
	Heard  bool `json:"heard"`
	// Largest is the MTU of the largest packets that passed, as the underlay counts them; 0: no
	// large one did.
	Largest int `json:"largest,omitempty"`
}

// PathFinding is what is wrong with the ways between two hosts.
type PathFinding struct {
	Text string
	// Fatal tells that a host with this would not be a member that works.
	Fatal bool
}

// PathSides are the two hosts and what they found.
type PathSides struct {
	Spec       PathSpec
	Self, Peer string // as people know them
	// PortUnused tells that no network there has the tunnel's port yet. What is wrong with it keeps
	// no host from joining.
	PortUnused    bool
	Mine, Theirs  PathReport
	SelfReady     PathReady
	PeerReady     PathReady
	SelfMTU       int
	PeerMTU       int
	ClockAhead    time.Duration // of the other host's clock
	ClockAccuracy time.Duration
}

// maxClockDifference is what people do not notice when they compare two hosts' logs.
const maxClockDifference = 5 * time.Second

// Findings says what is wrong, and which port to open where.
func (s PathSides) Findings() (all []PathFinding) {
	add := func(fatal bool, format string, args ...any) {
		all = append(all, PathFinding{fmt.Sprintf(format, args...), fatal})
	}
	if s.Spec.AgentPort != 0 {
		s.addAgentPort(add)
	}
	s.addTunnel(func(fatal bool, format string, args ...any) { add(fatal && !s.PortUnused, format, args...) })
	if s.Spec.AgentPort != 0 {
		s.addHosts(add)
	}
	return all
}

// TunnelPasses tells whether packets pass the tunnel in both directions.
func (s PathSides) TunnelPasses() bool { return s.Mine.Tunnel && s.Theirs.Tunnel }

// addFinding adds what is wrong to the findings.
type addFinding func(fatal bool, format string, args ...any)

// addAgentPort adds what is wrong with the agents' port.
func (s PathSides) addAgentPort(add addFinding) {
	port := s.Spec.AgentPort
	if s.Mine.TCP != "" {
		add(true, "TCP %d of %s is not reached from here (%s): open it there and on the way", port, s.Peer, s.Mine.TCP)
	}
	if s.Theirs.TCP != "" {
		add(true, "TCP %d of this host is not reached from %s (%s): open it here and on the way", port, s.Peer, s.Theirs.TCP)
	}
	if !s.Theirs.UDP && s.PeerReady.NoAgentPort == "" {
		add(true, "UDP %d: what this host sends does not arrive at %s: open the port there and on the way", port, s.Peer)
	}
	if !s.Mine.UDP && s.SelfReady.NoAgentPort == "" {
		add(true, "UDP %d: what %s sends does not arrive here: open the port on this host and on the way", port, s.Peer)
	}
}

// addTunnel adds what is wrong with the tunnel's port.
func (s PathSides) addTunnel(add addFinding) {
	port := s.Spec.TunnelPort
	switch {
	case s.SelfReady.NoTunnel != "":
		add(false, "UDP %d was not tried: this host %s", port, s.SelfReady.NoTunnel)
	case s.PeerReady.NoTunnel != "":
		add(false, "UDP %d was not tried: %s %s", port, s.Peer, s.PeerReady.NoTunnel)
	default:
		if !s.Theirs.Heard {
			add(true, "UDP %d: what this host sends does not arrive at %s: open the port there and on the way", port, s.Peer)
		}
		if !s.Mine.Heard {
			add(true, "UDP %d: what %s sends does not arrive here: open the port on this host and on the way", port, s.Peer)
		}
		if s.TunnelPasses() {
			s.addSizes(add)
		}
	}
}

// addHosts adds in what the two hosts differ, which no port is to blame for.
func (s PathSides) addHosts(add addFinding) {
	if s.SelfMTU != s.PeerMTU && s.SelfMTU > 0 && s.PeerMTU > 0 {
		add(false, "the interface here has MTU %d, that of %s %d: create networks with the same mtu on all hosts", s.SelfMTU,
			s.Peer, s.PeerMTU)
	}
	if d := s.ClockAhead; d.Abs() > maxClockDifference+s.ClockAccuracy {
		add(false, "the clock of %s is %v %s this host's: logs of the two do not fit together", s.Peer,
			d.Abs().Round(time.Second), aheadOrBehind(d))
	}
}

// addSizes adds that large packets are lost on the way, whose interfaces would take them.
func (s PathSides) addSizes(add addFinding) {
	largest := min(s.Mine.Largest, s.Theirs.Largest)
	switch {
	case largest >= s.Spec.MTU:
	case largest == 0:
		add(true, "UDP %d: small packets pass, large ones are lost: find the hop between the hosts that drops them",
			s.Spec.TunnelPort)
	default:
		add(true, "UDP %d: packets of more than %d bytes are lost on the way, though both interfaces have MTU %d: "+
			"raise the MTU of the underlay, or set that of the interfaces to %[2]d", s.Spec.TunnelPort, largest, s.Spec.MTU)
	}
}

func aheadOrBehind(d time.Duration) string {
	if d < 0 {
		return "behind"
	}
	return "ahead of"
}
