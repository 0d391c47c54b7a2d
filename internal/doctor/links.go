package doctor

import (
	"fmt"
	"slices"

	"vxlan-driver/internal/diagnosis"
)

// portSetting is how a bridge must treat a port. The driver leaves these settings as they come, and
// no network has others.
type portSetting struct {
	key    string
	want   any
	option string // of `bridge link set`
}

var portSettings = []portSetting{
	{"state", "forwarding", "state 3"}, {"flood", true, "flood on"}, {"mcast_flood", true, "mcast_flood on"},
	{"bcast_flood", true, "bcast_flood on"}, {"isolated", false, "isolated off"}, {"locked", false, "locked off"},
	{"vlan_tunnel", false, "vlan_tunnel off"}, {"guard", false, "guard off"}, {"root_block", false, "root_block off"},
}

// bridgeSettings are those of the bridge, as numbers.
var bridgeSettings = []struct{ key, option string }{{"stp_state", "stp_state 0"}, {"vlan_filtering", "vlan_filtering 0"}}

// checkPorts says which settings of bridges and their ports keep frames from passing.
func checkPorts(f *Facts) (findings []diagnosis.Finding) {
	add := func(n Network, summary, seen, mend string) {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.DeviceAltered, Level: diagnosis.Failure, Network: n.Name, Summary: summary, Evidence: []string{seen}, Mend: []string{mend},
		})
	}
	for _, n := range f.Networks {
		for _, s := range bridgeSettings {
			if value, known := n.BridgeSettings[s.key].(float64); known && value != 0 {
				add(n, fmt.Sprintf("the bridge %s has %s %v", n.Bridge.Name, s.key, value), "ip -d link show dev "+n.Bridge.Name,
					fmt.Sprintf("ip link set %s type bridge %s", n.Bridge.Name, s.option))
			}
		}
		for _, p := range n.Ports {
			if p.isDown() {
				continue // see checkDevices
			}
			for _, s := range portSettings {
				if value, known := p.Settings[s.key]; known && value != s.want {
					add(n, fmt.Sprintf("the bridge's port %s has %s %v", p.Name, s.key, value), "bridge -d link show dev "+p.Name,
						fmt.Sprintf("bridge link set dev %s %s", p.Name, s.option))
				}
			}
		}
	}
	return findings
}

// isDown tells whether a port cannot forward anyway: it or what is behind it is down.
func (p Port) isDown() bool {
	flags, _ := p.Settings["flags"].([]any)
	return !slices.Contains(flags, any("UP")) || slices.Contains(flags, any("NO-CARRIER"))
}

// checkCarrier says which underlays are not connected to anything.
func checkCarrier(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		if !n.NoCarrier {
			continue
		}
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.UnderlayLost, Level: diagnosis.Failure, Network: n.Name,
			Summary:  fmt.Sprintf("the interface %s has no carrier", n.Underlay.Name),
			Evidence: []string{"ip link show dev " + n.Underlay.Name + " prints NO-CARRIER"},
			Mend:     []string{"plug in the cable, or set the other end of the link up"},
		})
	}
	return findings
}

// checkNeighbours says where the kernel has another MAC for a host than the one that answers, and
// which hosts have one address.
func checkNeighbours(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, h := range n.Neighbours {
			switch {
			case len(h.Answers) > 1:
				findings = append(findings, diagnosis.Finding{
					Code: diagnosis.DuplicateVTEP, Level: diagnosis.Failure, Network: n.Name,
					Summary:  fmt.Sprintf("several hosts on %s have the address %s", n.Underlay.Name, h.Addr),
					Evidence: []string{fmt.Sprintf("%v answer for it", h.Answers)},
					Mend:     []string{"take the address off one of them: ip address delete " + h.Addr.String() + " dev INTERFACE"},
				})
			case h.Permanent && len(h.Answers) == 1 && h.Answers[0] != h.MAC:
				findings = append(findings, diagnosis.Finding{
					Code: diagnosis.WrongNeighbour, Level: diagnosis.Failure, Network: n.Name,
					Summary:  fmt.Sprintf("the kernel sends to host %s by the MAC %s, and %s has the address", h.Addr, h.MAC, h.Answers[0]),
					Evidence: []string{fmt.Sprintf("ip neigh show %s dev %s", h.Addr, n.Underlay.Name)},
					Mend:     []string{fmt.Sprintf("ip neigh delete %s dev %s", h.Addr, n.Underlay.Name)},
				})
			}
		}
	}
	return findings
}

// checkSilent says which containers do not answer, as far as nothing else says why.
func checkSilent(f *Facts) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		for _, s := range n.Silent {
			findings = append(findings, diagnosis.Finding{
				Code: diagnosis.ContainerSilent, Level: diagnosis.Failure, Network: n.Name,
				Summary:  fmt.Sprintf("container %s does not answer on the bridge %s", s.Name, n.Bridge.Name),
				Evidence: []string{fmt.Sprintf("nobody answered when the bridge asked who has %s", s.Addr)},
				Mend:     []string{"podman restart " + s.Name},
			})
		}
	}
	return findings
}

// checkNamedRules says which rules of other programs name a network's port or device, and translate
// or drop. What drops for certain is found by following packets. The others count where something is
// lost.
func checkNamedRules(f *Facts) (findings []diagnosis.Finding) {
	for _, r := range f.Rules {
		found := diagnosis.Finding{
			Code: diagnosis.ForeignRule, Level: diagnosis.Warning, Summary: "a rule of another program may drop packets of networks",
			Evidence: []string{cut(r.Text, maxLine)}, Mend: []string{r.Delete},
		}
		if r.Translates {
			found.Code, found.Level = diagnosis.TunnelNAT, diagnosis.Failure
			found.Summary = "a rule of another program translates packets between hosts"
		}
		isCovered := slices.ContainsFunc(f.Blocking, func(c BlockingChain) bool { return c.Table+" "+c.Chain == r.Chain })
		if !isCovered {
			findings = append(findings, found)
		}
	}
	return findings
}
