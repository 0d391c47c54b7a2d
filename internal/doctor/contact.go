package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

// withContacts adds to hosts whose agents do not answer what else was tried: a host that is down is
// told from one without an agent, and from one whose port is blocked.
func (f *Facts) withContacts(findings []diagnosis.Finding) []diagnosis.Finding {
	var blocked []diagnosis.Finding
	for _, c := range f.Contacts {
		host := f.hostAt(c.To)
		if c.OtherPort != 0 {
			blocked = append(blocked, f.otherPort(c, host))
		}
		if c.TCP == TCPSilent && (c.Ping || f.tunnelPasses(c.To)) {
			blocked = append(blocked, f.blockedPort(c, host))
		}
		i := slices.IndexFunc(findings, func(o diagnosis.Finding) bool {
			return o.Code == diagnosis.PeerUnreachable && host.label == o.Host
		})
		if i >= 0 {
			findings[i].Evidence = append(findings[i].Evidence, contactLine(c))
		}
	}
	return slices.Concat(blocked, f.udpBlocked(), findings)
}

func contactLine(c Contact) string {
	switch {
	case c.TCP == TCPRefused:
		return "it refuses connections to the agents' port, so its agent does not run, or has another port"
	case c.TCP == TCPOpened:
		return "it accepts connections to the agents' port"
	case c.Ping:
		return "it answers ping, and a connection to the agents' port gets no answer"
	}
	return "it answers neither ping nor a connection to the agents' port"
}

// tunnelPasses tells whether VXLAN packets pass to a host's address, as far as is known.
func (f *Facts) tunnelPasses(addr netip.Addr) bool {
	for _, c := range f.Agent.Report.Clusters {
		for _, h := range c.Hosts {
			if h.Addr == addr && slices.ContainsFunc(h.Paths, func(p agentapi.PathStatus) bool { return p.MTU > 0 }) {
				return true
			}
		}
	}
	return false
}

// otherPort is about a host whose agent listens where agents do unless they are told otherwise, as this
// one was.
func (f *Facts) otherPort(c Contact, host knownHost) diagnosis.Finding {
	return diagnosis.Finding{
		Code: diagnosis.AgentsPortBlocked, Level: diagnosis.Failure,
		Summary: fmt.Sprintf("the agent of host %s has the port %d, and this host's has %d, so they do not hear each other",
			host.label, c.OtherPort, f.Agent.Port),
		Evidence: []string{"grep port /etc/vxlan/vxland.toml"},
		Mend:     []string{"sed -i '/^ *port *=/s/^/# /' /etc/vxlan/vxland.toml   # or set one port on all hosts", reload},
	}
}

func (f *Facts) blockedPort(c Contact, host knownHost) diagnosis.Finding {
	port, level := f.Agent.Port, diagnosis.Failure
	if !c.IsMember {
		level = diagnosis.Warning // its agent may not be meant to run
	}
	return diagnosis.Finding{
		Code: diagnosis.AgentsPortBlocked, Level: level,
		Summary: fmt.Sprintf("port %d of host %s cannot be reached from here, so the agents do not hear each other",
			port, host.label),
		Evidence: []string{
			fmt.Sprintf("a connection from %s to %s gets no answer", c.From, netip.AddrPortFrom(c.To, port)), contactLine(c),
		},
		Mend: []string{fmt.Sprintf("open port %d (UDP and TCP) on host %s and on the way", port, host.label)},
	}
}

const (
	// Each agent asks each other one by UDP in turn, one in a second, and falls back to TCP.
	roundPerHost = time.Second
	// leastSilence is longer than some lost packets take.
	leastSilence = 20 * time.Second
)

// udpBlocked says which agents answer over TCP only.
func (f *Facts) udpBlocked() (findings []diagnosis.Finding) {
	for _, c := range f.Agent.Report.Clusters {
		limit := leastSilence + 3*time.Duration(len(c.Hosts))*roundPerHost
		for _, h := range c.Hosts {
			if !h.Reachable || h.ReachableFor < limit || h.RoundTripAge < limit && h.RoundTrip > 0 {
				continue
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.AgentsPortBlocked, Level: diagnosis.Warning,
				Summary:  fmt.Sprintf("UDP messages to the agent of host %s are not answered, and TCP passes", h.Name),
				Evidence: []string{silence(h)},
				Mend:     []string{fmt.Sprintf("open UDP port %d on this host, on host %s and on the way", f.Agent.Port, h.Name)},
			})
		}
	}
	return findings
}

func silence(h agentapi.HostStatus) string {
	if h.RoundTrip == 0 {
		return fmt.Sprintf("none was answered in %v", roundAge(h.ReachableFor))
	}
	return fmt.Sprintf("the last one was answered %v ago", roundAge(h.RoundTripAge))
}
