package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/diagnosis"
)

// leastBad is how many packets with wrong checksums are no chance: a damaged one passes an Ethernet's
// own checksum hardly ever.
const leastBad = 2

// checkChecksums says whose packets come with wrong checksums. The probes of tunnels do not show
// those of the packets inside: they have none.
func checkChecksums(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, s := range f.Traffic {
			if s.Out || s.Port != n.Tunnel.Port || s.VNI != n.Tunnel.VNI {
				continue
			}
			host := f.hostAt(s.From)
			found, isWrong := sumFault(n, s, host.label)
			if !isWrong {
				continue
			}
			found.Host = host.name
			found.Evidence = append([]string{fmt.Sprintf(
				"of %d packets that came to %s, %d had a wrong checksum outside, %d none, and %d a wrong one inside",
				s.Count, n.VTEP.Interface, s.BadOuter, s.ZeroOuter, s.BadInner)}, f.badSumLines()...)
			findings = append(findings, found)
		}
	}
	if len(findings) == 0 {
		findings = f.unexplainedBadSums()
	}
	return findings
}

// sumFault says what is wrong with the checksums of a host's packets.
func sumFault(n Network, s Stream, host string) (f diagnosis.Finding, isWrong bool) {
	f = diagnosis.Finding{Code: diagnosis.OffloadBroken, Level: diagnosis.Failure, Network: n.Name}
	switch accepts := n.Tunnel.UDPChecksum; {
	case s.BadOuter >= leastBad:
		const off = "ethtool -K %s tx-checksum-ip-generic off tx-udp_tnl-csum-segmentation off   # on that host"
		f.Summary = fmt.Sprintf("VXLAN packets of host %s arrive with wrong UDP checksums, and are dropped", host)
		f.Mend = []string{
			fmt.Sprintf(off, n.VTEP.Interface),
			fmt.Sprintf("vxlanctl network set %s udp_checksum=false   # on all hosts, if that does not help", n.Name),
		}
	case s.ZeroOuter >= leastBad && (!accepts.Set || accepts.Value):
		f.Code = diagnosis.NetworksDiffer
		f.Summary = fmt.Sprintf("VXLAN packets of host %s have no UDP checksum, and this host drops such over IPv6", host)
		f.Mend = []string{fmt.Sprintf("vxlanctl network set %s udp_checksum=true   # on that host", n.Name)}
	case s.BadInner >= leastBad:
		f.Summary = fmt.Sprintf("packets of containers of host %s arrive with wrong checksums", host)
		f.Mend = []string{
			fmt.Sprintf("ethtool -K %s tx-checksum-ip-generic off   # on that host", n.Device.Name),
			fmt.Sprintf("vxlanctl network set %s tx_checksum_offload=off   # there, so that it stays", n.Name),
		}
	default:
		return f, false
	}
	return f, true
}

// unexplainedBadSums are packets that were dropped, and that were not seen on an underlay.
func (f *Facts) unexplainedBadSums() (findings []diagnosis.Finding) {
	total := uint64(0)
	for _, b := range f.BadSums {
		total += b.Count
	}
	if total < leastBad {
		return nil
	}
	return []diagnosis.Finding{{
		Code: diagnosis.OffloadBroken, Level: diagnosis.Warning,
		Summary:  fmt.Sprintf("%d packets with wrong checksums came while this was looked for", total),
		Evidence: f.badSumLines(),
		Mend:     []string{"find out who sends them: tcpdump -vv -i INTERFACE; then there: ethtool -K INTERFACE tx off"},
	}}
}

func (f *Facts) badSumLines() (lines []string) {
	for _, b := range f.BadSums {
		lines = append(lines, fmt.Sprintf("%s: %s grew by %d", b.Where, b.Counter, b.Count))
	}
	return atMost(lines, maxEvidence)
}

// knownHost is another host as findings name it.
type knownHost struct {
	name  string // as its own findings do; "": it is not known
	label string
}

// hostAt returns the host that has an address, as far as the agent knows.
func (f *Facts) hostAt(addr netip.Addr) knownHost {
	if f.Agent.Report != nil {
		for _, c := range f.Agent.Report.Clusters {
			for _, h := range c.Hosts {
				if h.Addr == addr || hasVTEP(h, addr) {
					return knownHost{h.HostName, h.Name}
				}
			}
		}
	}
	return knownHost{label: addr.String()}
}

func hasVTEP(h agentapi.HostStatus, addr netip.Addr) bool {
	return slices.ContainsFunc(h.Paths, func(p agentapi.PathStatus) bool { return p.VTEP == addr })
}
