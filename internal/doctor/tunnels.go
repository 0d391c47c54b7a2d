package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

// Tunnel is what became of packets to another host through a tunnel that no agent tests.
type Tunnel struct {
	Host, Addr netip.Addr // on the underlay, and in the network
	// Learned is a MAC behind the host that was heard lately; "": none was.
	Learned string
	Wanted  []string // which containers looked for one there, in vain
	Answers bool     // it answers at all
	Pinged  bool     // it answers small pings
	// Pings had this size, in bytes of IP packets.
	Size, Sent, Answered int
	Passing              int  // the largest size that passes, if none of the full size does
	Refused              bool // the host says that nobody has the tunnel's UDP port there
}

// WasHeard tells whether a container of the network is expected on the host.
func (t Tunnel) WasHeard() bool { return t.Learned != "" || len(t.Wanted) > 0 }

// checkTunnels says through which tunnels nothing passes, or not all, where no agent tests them. A host
// without containers of the network does not answer either. See isExpected.
func checkTunnels(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, t := range n.Tunnels {
			if found, isFault := f.tunnelFault(n, t); isFault {
				findings = append(findings, found)
			}
		}
	}
	return findings
}

func (f *Facts) tunnelFault(n Network, t Tunnel) (found diagnosis.Finding, isFault bool) {
	label := t.Host.String()
	t.Refused = t.Refused || f.refuses(t.Host, n.Tunnel.Port)
	lost := agentapi.TunnelStatus{Host: label, Port: n.Tunnel.Port, Size: t.Size, Passing: t.Passing}
	switch {
	case !t.Answers && !f.isExpected(n, t):
		return found, false
	case !t.Answers && t.Refused:
		return portRefused(n, t), t.Learned == "" // or else its last container has just been stopped
	case !t.Answers && f.replies(n, t) > 0:
		return f.droppedHere(n, t), true
	case !t.Answers && f.sendsNothing(n, t):
		return f.keptHere(n, t), true
	case !t.Answers:
		lost.Heard = f.cameFrom(n, t.Host)
		found = fromTunnel(n.Name, lost)
		found.Level = diagnosis.Warning // its last container may have just been stopped
		found.Evidence = append(found.Evidence, t.expected()...)
		if !f.isPresent(n, t.Host) {
			found.Evidence = append(found.Evidence, "the host does not answer ping on the underlay either")
		}
		if t.Learned == "" && !lost.Heard {
			leaveOpen(&found, n, t)
		}
		return found, true
	case t.Pinged && t.Answered == 0 && t.Passing > 0:
		return fromTunnel(n.Name, lost), true
	}
	return fromPath(label, agentapi.PathStatus{Network: n.Name, FullSize: t.Size, Series: &agentapi.SeriesStatus{
		Full: agentapi.SeriesCount{Sent: t.Sent, Answered: t.Answered},
	}})
}

// replies counts the answers that came from another host's own address to what this host has sent.
func (f *Facts) replies(n Network, t Tunnel) (count int) {
	for _, s := range f.Traffic {
		isOfTunnel := !s.Out && s.From == t.Host && s.Port == n.Tunnel.Port && s.VNI == n.Tunnel.VNI
		if isOfTunnel && s.Replier.IsValid() && s.Replier == t.Addr {
			count += s.Count
		}
	}
	return count
}

// droppedHere is about a host whose answers arrive at the underlay's interface, and not in the network.
// So this host's packets arrive there.
func (f *Facts) droppedHere(n Network, t Tunnel) diagnosis.Finding {
	return diagnosis.Finding{
		Code: diagnosis.TunnelOneWay, Level: diagnosis.Failure, Network: n.Name,
		Summary: fmt.Sprintf("this host drops the VXLAN packets of host %s", t.Host),
		Evidence: []string{fmt.Sprintf("%d answers of it came to %s, and none to %s", f.replies(n, t), n.VTEP.Interface,
			n.Device.Name)},
		Mend: []string{inputMend(n.VTEP.Interface, n.Tunnel.Port)},
	}
}

// sendsNothing tells whether none of this host's packets to another host left by the underlay, while those
// of the other one came: so it is there.
func (f *Facts) sendsNothing(n Network, t Tunnel) bool {
	out, in := f.countPackets(n, t.Host)
	return f.Traffic != nil && out == 0 && in > 0
}

// keptHere is about a host whose own packets do not leave.
func (f *Facts) keptHere(n Network, t Tunnel) diagnosis.Finding {
	device := n.VTEP.Interface
	_, in := f.countPackets(n, t.Host)
	return diagnosis.Finding{
		Code: diagnosis.TunnelOneWay, Level: diagnosis.Failure, Network: n.Name,
		Summary:  fmt.Sprintf("no VXLAN packet to host %s leaves this host", t.Host),
		Evidence: []string{fmt.Sprintf("%d packets of the other host came to %s, and none to it left", in, device)},
		Mend: []string{fmt.Sprintf("nft list ruleset; tc -s qdisc show dev %s   # on this host: let UDP port %d out", device,
			n.Tunnel.Port)},
	}
}

// leaveOpen says of a tunnel from which nothing was heard that there may be nobody at its end. A kernel
// that has the UDP port for other networks is as silent as one before which a firewall drops packets.
func leaveOpen(found *diagnosis.Finding, n Network, t Tunnel) {
	found.Summary += ", or no container of the network runs there"
	found.Evidence = append(found.Evidence, fmt.Sprintf("the host does not refuse UDP port %d: packets are lost, "+
		"or only another network has the port there, or this one with another VNI", n.Tunnel.Port))
	asked := fmt.Sprintf("podman ps --filter network=%s   # on host %s: if it lists none, nothing is wrong",
		n.Name, t.Host)
	found.Mend = append([]string{asked}, found.Mend...)
}

// isExpected tells whether somebody should answer through a tunnel. That is so if a container of the
// network was heard there lately, or one here looked for one there. It is probably so if the host is
// there and its UDP port is not closed, unless another network to whose tunnel it has the port explains
// that.
func (f *Facts) isExpected(n Network, t Tunnel) bool {
	passes := func(e Exchange) bool { return e.VTEP == t.Host && (e.Ping || e.HostPing) }
	if slices.ContainsFunc(n.Exchanges, passes) {
		return false // it is no host of this driver, or its own address is blocked there
	}
	isOfOther := f.portPasses(n.Tunnel.Port, t.Host) || f.sendsOther(n, t.Host)
	return t.WasHeard() || !t.Refused && f.isPresent(n, t.Host) && !isOfOther
}

// refuses tells whether a host has said meanwhile that nobody has a UDP port there.
func (f *Facts) refuses(host netip.Addr, port uint16) bool {
	return slices.ContainsFunc(f.Traffic, func(s Stream) bool { return s.Refused && s.From == host && s.Port == port })
}

// portPasses tells whether packets of some network pass to a host's UDP port, as far as is known.
func (f *Facts) portPasses(port uint16, host netip.Addr) bool {
	for _, n := range f.Networks {
		if n.Tunnel.Port != port {
			continue
		}
		if slices.ContainsFunc(n.Tunnels, func(t Tunnel) bool { return t.Host == host && t.Answers }) ||
			f.agentPasses(n.Name, host) {
			return true
		}
	}
	return false
}

// sendsOther tells whether a host sends packets of another network to the UDP port of a network.
func (f *Facts) sendsOther(n Network, host netip.Addr) bool {
	return slices.ContainsFunc(f.Traffic, func(s Stream) bool {
		return !s.Out && !s.Refused && s.From == host && s.Port == n.Tunnel.Port && s.VNI != n.Tunnel.VNI
	})
}

// agentPasses tells whether the agent has found that something passes a network's tunnel to a host.
func (f *Facts) agentPasses(network string, host netip.Addr) bool {
	if f.Agent.Report == nil {
		return false
	}
	isPassing := func(p agentapi.PathStatus) bool { return p.Network == network && p.VTEP == host && p.MTU > 0 }
	for _, c := range f.Agent.Report.Clusters {
		if slices.ContainsFunc(c.Hosts, func(h agentapi.HostStatus) bool { return slices.ContainsFunc(h.Paths, isPassing) }) {
			return true
		}
	}
	return false
}

// checkExchanges says which containers do not reach one of another host that this host reaches itself:
// what they send is dropped on their bridge or at its ports.
func checkExchanges(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, e := range n.Exchanges {
			if e.Flows.losesSome() && !f.losesByChance(n) {
				findings = append(findings, someFlows(n, e))
			}
			if e.Ping || !e.HostPing {
				continue
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.ContainerSilent, Level: diagnosis.Warning, Network: n.Name,
				Summary: fmt.Sprintf("container %s gets no answer from %s, and this host does", e.From, e.To),
				Evidence: []string{fmt.Sprintf("ping %s, from the host and in the container", e.To),
					fmt.Sprintf("vxlanctl trace %s %s says where the packets are lost", e.From, e.To)},
				Mend: []string{fmt.Sprintf("podman restart %s   # if the packets are lost in the container", e.From)},
			})
		}
	}
	return findings
}

// FlowCount counts connections, each of which may take another way.
type FlowCount struct{ Tried, Lost int }

// losesSome tells whether so many connections are lost, and others pass, that it is not by chance.
func (c FlowCount) losesSome() bool { return c.Lost >= 4 && c.Tried-c.Lost >= 4 }

// losesByChance tells whether a part of the frames of one connection is lost, which is a finding of its own.
func (f *Facts) losesByChance(n Network) bool {
	if slices.ContainsFunc(n.Tunnels, func(t Tunnel) bool { return t.Answered > 0 && t.Answered < t.Sent }) {
		return true
	}
	if f.Agent.Report == nil {
		return false
	}
	loses := func(p agentapi.PathStatus) bool { return p.Network == n.Name && isPartial(p) }
	for _, c := range f.Agent.Report.Clusters {
		if slices.ContainsFunc(c.Hosts, func(h agentapi.HostStatus) bool { return slices.ContainsFunc(h.Paths, loses) }) {
			return true
		}
	}
	return false
}

// someFlows is about connections of which some never pass: those that take one of several ways.
func someFlows(n Network, e Exchange) diagnosis.Finding {
	return diagnosis.Finding{
		Code: diagnosis.TunnelLoss, Level: diagnosis.Failure, Network: n.Name,
		Summary: fmt.Sprintf("%d of %d connections from container %s to %s are lost, and the others pass", e.Flows.Lost,
			e.Flows.Tried, e.From, e.To),
		Evidence: []string{
			fmt.Sprintf("the container is on host %s; each connection has its own port", e.VTEP),
			"which way a packet takes depends on its ports, in a bond or behind a router with several paths",
		},
		Mend: []string{"look for the link of several that loses packets: cat /proc/net/bonding/*; ip -s -s link show"},
	}
}

// expected says why a container of the network is expected on the host.
func (t Tunnel) expected() (lines []string) {
	if t.Learned != "" {
		lines = append(lines, fmt.Sprintf("the MAC %s was heard from it in the last five minutes", t.Learned))
	}
	return append(lines, atMost(t.Wanted, 2)...)
}

func portRefused(n Network, t Tunnel) diagnosis.Finding {
	return diagnosis.Finding{
		Code: diagnosis.TunnelUntested, Level: diagnosis.Warning, Network: n.Name,
		Summary: fmt.Sprintf(
			"host %s has no VXLAN device on UDP port %d: no container of the network runs there, or it has another port", t.Host,
			n.Tunnel.Port),
		Evidence: append([]string{fmt.Sprintf("it refuses packets to UDP port %d", n.Tunnel.Port)}, t.expected()...),
		Mend: []string{fmt.Sprintf("podman network inspect %s   # on both hosts: vni and vxlan_port must be alike",
			n.Name)},
	}
}

// cameFrom tells whether packets of the network came from another host meanwhile.
func (f *Facts) cameFrom(n Network, host netip.Addr) bool {
	return slices.ContainsFunc(f.Traffic, func(s Stream) bool {
		return !s.Out && s.From == host && s.Port == n.Tunnel.Port && s.VNI == n.Tunnel.VNI
	})
}

// isPresent tells whether another host answers on the underlay, to a ping or to ARP.
func (f *Facts) isPresent(n Network, host netip.Addr) bool {
	return slices.ContainsFunc(n.Paths, func(p Path) bool { return p.To == host && (p.Ping.Full || p.Ping.Small) }) ||
		slices.ContainsFunc(n.Neighbours, func(h Neighbour) bool { return h.Addr == host && len(h.Answers) > 0 })
}

// checkOtherTunnels says which hosts send packets of a network with another VNI, or to another port. The
// addresses inside tell whose they are.
func checkOtherTunnels(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, s := range f.Traffic {
			isMember := slices.Contains(n.VTEP.Remotes, s.From)
			if n.Encrypts() || s.Out || !isMember || !s.Inner.IsValid() || f.isOwnTunnel(s) || f.cameFrom(n, s.From) {
				continue
			}
			if _, isOfNetwork := n.SubnetOf(s.Inner); !isOfNetwork {
				continue
			}
			what, theirs, ours := "VXLAN port", uint32(s.Port), uint32(n.Tunnel.Port)
			if s.Port == n.Tunnel.Port {
				what, theirs, ours = "VNI", s.VNI, n.Tunnel.VNI
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.TunnelMismatch, Level: diagnosis.Failure, Network: n.Name,
				Summary: fmt.Sprintf("network %s differs on host %s: the %s is %d there and %d here", n.Name,
					f.hostAt(s.From).label, what, theirs, ours),
				Evidence: []string{fmt.Sprintf("%d packets of %s came to %s with the VNI %d on UDP port %d",
					s.Count, s.Inner, n.VTEP.Interface, s.VNI, s.Port)},
				Mend: []string{fmt.Sprintf("recreate network %s on one of the hosts with the other one's options", n.Name)},
			})
		}
	}
	return f.withRecreation(findings)
}

// isOwnTunnel tells whether packets are of a device of this host.
func (f *Facts) isOwnTunnel(s Stream) bool {
	for _, n := range f.Networks {
		if n.Tunnel.Port == s.Port && n.Tunnel.VNI == s.VNI {
			return true
		}
	}
	for _, d := range f.Devices {
		if d.Tunnel.Port == s.Port && d.Tunnel.VNI == s.VNI {
			return true
		}
	}
	return false
}
