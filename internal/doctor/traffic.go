package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

// withTraffic adds to lost tunnels where their packets were seen: on which side of the network card
// they are lost decides on which host to look.
func (f *Facts) withTraffic(findings []diagnosis.Finding) []diagnosis.Finding {
	if f.Traffic == nil || !f.BothProbed {
		return findings
	}
	for _, n := range f.Networks {
		if n.Encrypts() { // nothing of it is to be seen
			continue
		}
		for _, t := range f.lostTunnels(n) {
			i := slices.IndexFunc(findings, func(o diagnosis.Finding) bool {
				return o.Network == n.Name && isSymptom(o.Code) && strings.Contains(o.Summary, t.Host)
			})
			if peer := addrOfLabel(t.Host); i >= 0 && peer.IsValid() {
				f.addSightings(&findings[i], n, t, peer)
			}
		}
	}
	return findings
}

// lostTunnels are those of a network through which nothing passes.
func (f *Facts) lostTunnels(n Network) (lost []agentapi.TunnelStatus) {
	if f.Agent.Report == nil {
		return nil
	}
	for _, status := range f.Agent.Report.Networks {
		for _, t := range status.Tunnels {
			if status.Name == n.Name && t.Passing == 0 {
				lost = append(lost, t)
			}
		}
	}
	return lost
}

// addrOfLabel returns the address in a host's label, such as "host-b (198.18.0.12)".
func addrOfLabel(label string) netip.Addr {
	_, rest, _ := strings.Cut(label, "(")
	text, _, _ := strings.Cut(rest, ")")
	addr, _ := netip.ParseAddr(text)
	return addr
}

// addSightings says which packets from and to another host passed the underlay's interface. What this
// host drops itself is to be mended here first.
func (f *Facts) addSightings(found *diagnosis.Finding, n Network, t agentapi.TunnelStatus, peer netip.Addr) {
	out, in := f.countPackets(n, peer)
	device := n.VTEP.Interface
	sent := fmt.Sprintf("%d of this host's packets to it left by %s", out, device)
	came := fmt.Sprintf("%d of its packets came to %s", in, device)
	var own []string
	if out == 0 {
		sent = fmt.Sprintf("no packet to it left by %s: they are dropped on host %s", device, f.Host)
		own = append(own, fmt.Sprintf("nft list ruleset; tc filter show dev %s egress   # on this host: let UDP port %d out",
			device, t.Port))
	}
	switch {
	case in == 0:
		came = fmt.Sprintf("none of its packets came to %s: they are dropped there or on the way", device)
	case !t.Heard:
		came += fmt.Sprintf(", and none to %s: they are dropped on host %s", n.Device.Name, f.Host)
		own = append(own, inputMend(device, t.Port))
	}
	found.Evidence = append(found.Evidence, sent, came)
	found.Mend = append(own, found.Mend...)
}

// inputMend shows what may drop packets that have arrived.
func inputMend(device string, port uint16) string {
	return fmt.Sprintf("nft list ruleset; tc filter show dev %s ingress   # on this host: let UDP port %d in",
		device, port)
}

// countPackets counts a network's packets to and from another host that passed the underlay.
func (f *Facts) countPackets(n Network, peer netip.Addr) (out, in int) {
	for _, s := range f.Traffic {
		if s.Port != n.Tunnel.Port || s.VNI != n.Tunnel.VNI {
			continue
		}
		if s.Out && s.To == peer {
			out += s.Count
		}
		if !s.Out && s.From == peer {
			in += s.Count
		}
	}
	return out, in
}

// checkStrangers says whose packets of a network come from an address that is no member's. If those of
// a member are missing, a translator on the way probably changes addresses. Of a network whose hosts
// find each other one that has just come is not known yet.
func checkStrangers(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		if n.Encrypts() { // see checkPlaintext
			continue
		}
		lost := f.lostTunnels(n)
		for _, s := range f.Traffic {
			known := s.From == n.VTEP.Local || slices.Contains(n.VTEP.Remotes, s.From)
			if s.Out || s.Port != n.Tunnel.Port || s.VNI != n.Tunnel.VNI || known || len(lost) == 0 && n.FindsHosts() {
				continue
			}
			found := diagnosis.Finding{
				Code: diagnosis.TunnelNAT, Level: diagnosis.Failure, Network: n.Name,
				Summary:  fmt.Sprintf("VXLAN packets of the network come from %s, which is no member's address", s.From),
				Evidence: []string{fmt.Sprintf("%d of them came to %s, and are dropped", s.Count, n.VTEP.Interface)},
				Mend:     []string{fmt.Sprintf("exempt UDP port %d from address translation between the hosts", n.Tunnel.Port)},
			}
			if len(lost) > 0 {
				found.Evidence = append(found.Evidence, "nothing passes to "+lost[0].Host)
			} else {
				found.Code, found.Level = diagnosis.ForeignSender, diagnosis.Warning
				found.Mend = []string{fmt.Sprintf("vxlanctl network peer add %s %s   # if a host of the network has that address",
					n.Name, s.From)}
			}
			findings = append(findings, found)
		}
	}
	return findings
}
