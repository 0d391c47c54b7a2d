package doctor

import (
	"fmt"
	"strings"

	"vxlan-driver/internal/diagnosis"
)

// checkPathPings says where full packets do not fit the way to another host. Where agents probe the
// tunnel, they say what becomes of frames. Then a ping tells only which router is before the link.
func checkPathPings(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, p := range n.Paths {
			if !p.Ping.Small || p.Ping.Full || p.Ping.Passing == 0 || f.saysMTU(n, p) {
				continue
			}
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.UnderlayMTU, Level: diagnosis.Warning, Network: n.Name,
				Summary: fmt.Sprintf("packets of %d bytes do not fit the way to host %s, and the network's have up to %d",
					p.Ping.Passing+1, p.To, p.Ping.Size),
				Evidence: []string{p.Ping.evidence()},
				Mend: []string{fmt.Sprintf("vxlanctl network set %s mtu=%d   "+
					"# on all hosts, unless the MTU of that link can be raised", n.Name,
					p.Ping.Passing-n.Overhead(n.VTEP.Local.Is6()))},
			})
		}
	}
	return findings
}

// saysMTU tells whether another check says that the MTU of a path is too small.
func (f *Facts) saysMTU(n Network, p Path) bool {
	if f.Agent.Report != nil {
		for _, t := range f.Agent.Report.Networks {
			for _, lost := range t.Tunnels {
				if t.Name == n.Name && addrOfLabel(lost.Host) == p.To {
					return true
				}
			}
		}
	}
	return p.MTU > 0 && p.MTU < p.Ping.Size
}

// IsSilent tells whether the host answered no ping of any size.
func (p PathPing) IsSilent() bool { return p.Size > 0 && !p.Full && !p.Small }

func (p PathPing) evidence() string {
	if p.Router.IsValid() {
		return fmt.Sprintf("%s on the way says that its next link has the MTU %d", p.Router, p.RouterMTU)
	}
	return fmt.Sprintf("pings of %d bytes are answered, and larger ones are not", p.Passing)
}

// withRouters adds to tunnels through which large frames do not pass which router is before the link.
func (f *Facts) withRouters(findings []diagnosis.Finding) []diagnosis.Finding {
	for i, found := range findings {
		if found.Code != diagnosis.TunnelMTU {
			continue
		}
		for _, n := range f.Networks {
			for _, p := range n.Paths {
				if n.Name == found.Network && p.Ping.Router.IsValid() && strings.Contains(found.Summary, f.hostAt(p.To).label) {
					findings[i].Evidence = append(findings[i].Evidence, p.Ping.evidence())
				}
			}
		}
	}
	return findings
}
