package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
)

// checkRoutes says which hosts the kernel would not send to as it should.
func checkRoutes(f *Facts) (findings []diagnosis.Finding) {
	for _, r := range f.Routing.Lacking {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.NoRoute, Level: diagnosis.Failure,
			Summary:  fmt.Sprintf("no rule of routing looks up the table %s, so this host finds no way", r.Text),
			Evidence: []string{"ip rule lacks it"}, Mend: []string{r.Delete},
		})
	}
	if len(findings) > 0 {
		return findings
	}
	for _, n := range f.Networks {
		if !n.Underlay.Up || !n.Underlay.HasAddr(n.VTEP.Local) && n.Underlay.Name == n.VTEP.Interface {
			continue // see checkUnderlay
		}
		for _, p := range n.Paths {
			block := f.blockBetween(n.VTEP.Local, p.To)
			switch {
			case f.isOwnAddr(p.To):
				continue // see checkDuplicateVTEP
			case block != nil && block.LacksState && p.Ping.IsSilent():
				findings = append(findings, diagnosis.Finding{
					Code: diagnosis.NoRoute, Level: diagnosis.Failure, Network: n.Name,
					Summary: fmt.Sprintf(
						"an IPsec policy wants packets between this host and host %s encrypted, and there are no keys for it", p.To),
					Evidence: []string{"ip xfrm policy prints " + block.Text, "ip xfrm state prints none between the two"},
					Mend:     []string{block.Delete + "   # or start the program that agrees on keys"},
				})
			case block != nil && !block.LacksState:
				findings = append(findings, diagnosis.Finding{
					Code: diagnosis.NoRoute, Level: diagnosis.Failure, Network: n.Name,
					Summary:  fmt.Sprintf("an IPsec policy blocks packets between this host and host %s", p.To),
					Evidence: []string{"ip xfrm policy prints " + block.Text}, Mend: []string{block.Delete},
				})
			case p.Route.Interface == "":
				findings = append(findings, f.noRoute(n, p, "there is no route to host "+p.To.String()))
			case p.Route.Interface != n.VTEP.Interface && n.Underlay.Name == n.VTEP.Interface &&
				!(f.isOwnBridge(p.Route.Interface) && f.isOfSubnet(p.To)):
				findings = append(findings, f.noRoute(n, p,
					fmt.Sprintf("packets to host %s leave by %s and not by %s", p.To, p.Route.Interface, n.VTEP.Interface)))
			case p.OfPort.Route != "":
				findings = append(findings, f.ruleOfPort(n, p))
			case p.DeadRouter.IsValid():
				findings = append(findings, deadRouter(n, p))
			case p.SilentHop.IsValid():
				findings = append(findings, silentHop(n, p))
			case p.Free.Source.IsValid() && p.Free.Source != n.VTEP.Local && n.Underlay.HasAddr(p.Free.Source):
				findings = append(findings, wrongSource(n, p))
			}
		}
	}
	return findings
}

// isOfSubnet tells whether an address is of a network's subnet. checkOverlaps says so.
func (f *Facts) isOfSubnet(addr netip.Addr) bool {
	return slices.ContainsFunc(f.Networks, func(n Network) bool {
		_, isOf := n.SubnetOf(addr)
		return isOf
	})
}

// blockBetween returns the IPsec policy that blocks packets from or to another host.
func (f *Facts) blockBetween(local, peer netip.Addr) *Rule {
	i := slices.IndexFunc(f.Routing.Blocks, func(r Rule) bool {
		return !r.Forwards && (r.From.Contains(local) && r.To.Contains(peer) || r.From.Contains(peer) && r.To.Contains(local))
	})
	if i < 0 {
		return nil
	}
	return &f.Routing.Blocks[i]
}

// noRoute names the route or the rule that leads packets elsewhere, if it is known.
func (f *Facts) noRoute(n Network, p Path, summary string) diagnosis.Finding {
	found := diagnosis.Finding{
		Code: diagnosis.NoRoute, Level: diagnosis.Failure, Network: n.Name, Summary: summary,
		Evidence: []string{fmt.Sprintf("ip route get %s from %s", p.To, n.VTEP.Local)},
	}
	dead, rule := f.deadEnd(p.To), f.ruleFor(n.VTEP.Local, p.To, "")
	switch {
	case strings.HasPrefix(p.Matched, "local "): // of the table that the kernel looks up first
		found.Mend = []string{"ip route delete " + strings.Replace(p.Matched, " table local", "", 1) + " table local"}
	case dead != nil:
		found.Evidence = append(found.Evidence, fmt.Sprintf("there is a route of type %s to %s", dead.Type, dead.Dst))
		found.Mend = []string{dead.Delete}
	case rule != nil:
		found.Evidence = append(found.Evidence, "ip rule: "+rule.Text)
		found.Mend = []string{avoidRule(*rule, p)}
	default:
		found.Mend = []string{routeBy(n, p)}
	}
	found.Evidence = append(found.Evidence, f.ownerEvidence(p.Route.Interface)...)
	if p.Matched != "" {
		found.Evidence = append(found.Evidence, "the kernel takes the route "+p.Matched)
	}
	return found
}

// deadRouter is about a route by a router that is not there.
func deadRouter(n Network, p Path) diagnosis.Finding {
	found := diagnosis.Finding{
		Code: diagnosis.NoRoute, Level: diagnosis.Failure, Network: n.Name,
		Summary:  fmt.Sprintf("packets to host %s go to the router %s, which does not answer", p.To, p.DeadRouter),
		Evidence: []string{"the kernel takes the route " + p.Matched, "host " + p.To.String() + " does not answer ping"},
		Mend:     []string{routeBy(n, p)},
	}
	if p.Router == p.DeadRouter && !n.isOnLink(p.To) {
		found.Mend = []string{fmt.Sprintf("start the router %s, or correct the route: ip route replace %s via ROUTER dev %s",
			p.DeadRouter, p.To, n.VTEP.Interface)}
	}
	return found
}

// silentHop is about a route of several next hops, of which one is not there.
func silentHop(n Network, p Path) diagnosis.Finding {
	return diagnosis.Finding{
		Code: diagnosis.NoRoute, Level: diagnosis.Failure, Network: n.Name,
		Summary: fmt.Sprintf("some packets to host %s go to the router %s, which does not answer", p.To, p.SilentHop),
		Evidence: []string{
			"the kernel takes the route " + p.Matched + ", which has several next hops",
			"ip route get fibmatch " + p.To.String(),
		},
		Mend: []string{routeBy(n, p)},
	}
}

// ruleOfPort is about a rule of routing for a protocol or port, by which packets of the tunnel or the
// agents go elsewhere than all others.
func (f *Facts) ruleOfPort(n Network, p Path) diagnosis.Finding {
	o, what := p.OfPort, "VXLAN packets"
	if o.Port != n.Tunnel.Port {
		what = "messages of the agents"
	}
	found := diagnosis.Finding{
		Code: diagnosis.NoRoute, Level: diagnosis.Failure, Network: n.Name,
		Summary: fmt.Sprintf("a rule of routing leads %s to host %s elsewhere than all other packets", what, p.To),
		Evidence: []string{fmt.Sprintf("ip route get %s from %s ipproto %s dport %d: %s", p.To, n.VTEP.Local, o.Protocol,
			o.Port, o.Route)},
	}
	for _, r := range f.Routing.Rules {
		isOfPort := r.LastPort == 0 || r.FirstPort <= o.Port && o.Port <= r.LastPort
		if r.OfPort && isOfPort {
			found.Evidence = append(found.Evidence, "ip rule: "+r.Text)
			found.Mend = append(found.Mend, r.Delete)
		}
	}
	return found
}

// isOnLink tells whether an address is of a range of the underlay's interface.
func (n Network) isOnLink(addr netip.Addr) bool {
	return slices.ContainsFunc(n.Underlay.Addrs, func(a netip.Prefix) bool { return a.Contains(addr) })
}

// avoidRule is the command by which packets to a host no longer follow a rule. One that leads them to
// an interface is a VPN's, and stays for other packets.
func avoidRule(rule Rule, p Path) string {
	if p.Route.Interface == "" || rule.Priority <= 1 {
		return rule.Delete
	}
	return fmt.Sprintf("%s rule add to %s lookup main priority %d", ipCommand(p.To), p.To, rule.Priority-1)
}

// routeBy is the command by which the kernel sends to a host by the network's interface.
func routeBy(n Network, p Path) string {
	if n.isOnLink(p.To) {
		return fmt.Sprintf("ip route replace %s dev %s", p.To, n.VTEP.Interface)
	}
	if p.Router.IsValid() {
		return fmt.Sprintf("ip route replace %s via %s dev %s", p.To, p.Router, n.VTEP.Interface)
	}
	return fmt.Sprintf("ip route replace %s dev %s   # if it is on the same link", p.To, n.VTEP.Interface)
}

// withoutMTU is the command that takes the MTU off a route, "" if it has none.
func withoutMTU(route string) string {
	words := strings.Fields(route)
	i := slices.Index(words, "mtu")
	if i < 0 || i+1 >= len(words) {
		return ""
	}
	end := i + 2
	if words[i+1] == "lock" {
		end++
	}
	return "ip route replace " + strings.Join(slices.Delete(words, i, min(end, len(words))), " ")
}

// wrongSource is about the agents: the tunnel has its own address as its source in any case.
func wrongSource(n Network, p Path) diagnosis.Finding {
	return diagnosis.Finding{
		Code: diagnosis.WrongSource, Level: diagnosis.Warning, Network: n.Name,
		Summary: fmt.Sprintf("the route to host %s has the source %s, and the network sends from %s", p.To, p.Free.Source,
			n.VTEP.Local),
		Evidence: []string{"ip route get " + p.To.String()},
		Mend:     []string{fmt.Sprintf("ip route replace %s dev %s src %s", p.To, n.VTEP.Interface, n.VTEP.Local)},
	}
}

// smallPath is about a path whose MTU somebody gave to the route, or a router on the way reported.
func smallPath(n Network, p Path, wanted int) diagnosis.Finding {
	found := diagnosis.Finding{
		Code: diagnosis.UnderlayMTU, Level: diagnosis.Failure, Network: n.Name,
		Summary:  fmt.Sprintf("the path to host %s has the MTU %d, and the network's packets need %d", p.To, p.MTU, wanted),
		Evidence: []string{"ip route get " + p.To.String() + " shows it"},
		Mend: []string{fmt.Sprintf("vxlanctl network set %s mtu=%d   # on all hosts", n.Name,
			p.MTU-n.Overhead(n.VTEP.Local.Is6()))},
	}
	if command := withoutMTU(p.Matched); command != "" {
		found.Evidence = append(found.Evidence, "the route has it: "+p.Matched)
		found.Mend = []string{command}
	}
	return found
}
