package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/kernel"
)

// portSetting is how a bridge must treat a port. The driver leaves these settings as they come, and
// no network has others.
type portSetting struct {
	key    string
	want   any
	option string // of `bridge link set`, or of `ip link set` if it begins with "type"
}

var portSettings = []portSetting{
	{"state", "forwarding", "state 3"}, {"flood", true, "flood on"}, {"mcast_flood", true, "mcast_flood on"},
	{"bcast_flood", true, "bcast_flood on"}, {"isolated", false, "isolated off"}, {"locked", false, "locked off"},
	{"hairpin", false, "hairpin off"}, {"vlan_tunnel", false, "vlan_tunnel off"}, {"guard", false, "guard off"},
	{"root_block", false, "root_block off"},
	// With these the bridge answers ARP itself or not at all, and floods none of it to the port.
	{"proxy_arp", false, "type bridge_slave proxy_arp off"},
	{"proxy_arp_wifi", false, "type bridge_slave proxy_arp_wifi off"},
}

// learningSettings are those of networks in which no agent sets entries.
var learningSettings = []portSetting{{"learning", true, "learning on"}, {"neigh_suppress", false, "neigh_suppress off"}}

// bridgeSettings are those of the bridge, as numbers.
var bridgeSettings = []struct{ key, option string }{{"stp_state", "stp_state 0"},
	{"vlan_filtering", "vlan_filtering 0"},
	// With these frames pass the IP firewall, though br_netfilter is off.
	{"nf_call_iptables", "nf_call_iptables 0"}, {"nf_call_ip6tables", "nf_call_ip6tables 0"},
	{"nf_call_arptables", "nf_call_arptables 0"}}

// checkPorts says which settings of bridges and their ports keep frames from passing.
func checkPorts(f *Facts) (findings []diagnosis.Finding) {
	add := func(n Network, summary, seen string, mend ...string) {
		findings = append(findings, diagnosis.Finding{
			Code: diagnosis.DeviceAltered, Level: diagnosis.Failure, Network: n.Name, Summary: summary, Evidence: []string{seen},
			Mend: mend,
		})
	}
	for _, n := range f.Networks {
		for _, s := range bridgeSettings {
			if value, known := n.BridgeSettings[s.key].(float64); known && value != 0 {
				command := fmt.Sprintf("ip link set %s type bridge %s", n.Bridge.Name, s.option)
				add(n, fmt.Sprintf("the bridge %s has %s %v", n.Bridge.Name, s.key, value), "ip -d link show dev "+n.Bridge.Name,
					append([]string{command}, n.forwardAgain()...)...)
			}
		}
		for _, p := range n.Ports {
			if wrong, mend := n.wrongSettings(p); len(wrong) > 0 {
				add(n, fmt.Sprintf("the bridge's port %s has %s", p.Name, strings.Join(wrong, ", ")),
					"bridge -d link show dev "+p.Name, mend...)
			}
		}
	}
	return findings
}

// wrongSettings are those of a port by which frames do not pass, and the commands that mend them. The
// state of ports belongs to the spanning tree while there is one.
func (n Network) wrongSettings(p Port) (wrong, mend []string) {
	if p.isDown() {
		return nil, nil // see checkDevices
	}
	tree, _ := n.BridgeSettings["stp_state"].(float64)
	settings := portSettings
	if !n.VTEP.StaticFDB && !n.NeedsAgent() {
		settings = slices.Concat(settings, learningSettings)
	}
	for _, s := range settings {
		value, known := p.Settings[s.key]
		if !known || value == s.want || s.key == "state" && tree != 0 {
			continue
		}
		wrong = append(wrong, fmt.Sprintf("%s %v", s.key, value))
		program := "bridge"
		if strings.HasPrefix(s.option, "type ") {
			program = "ip"
		}
		mend = append(mend, fmt.Sprintf("%s link set dev %s %s", program, p.Name, s.option))
	}
	return wrong, mend
}

// forwardAgain are the commands that let ports forward at once, which the spanning tree had stopped:
// the kernel does so only after half a minute, or never.
func (n Network) forwardAgain() (commands []string) {
	for _, p := range n.Ports {
		if state := p.Settings["state"]; state != "forwarding" && !p.isDown() {
			commands = append(commands, "bridge link set dev "+p.Name+" state 3")
		}
	}
	return commands
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
			case !h.OwnMAC.IsZero() && (h.MAC == h.OwnMAC || slices.Contains(h.Answers, h.OwnMAC)):
				findings = append(findings, diagnosis.Finding{
					Code: diagnosis.DuplicateMAC, Level: diagnosis.Failure, Network: n.Name,
					Summary:  fmt.Sprintf("this host and host %s have one MAC on %s", h.Addr, n.Underlay.Name),
					Evidence: []string{fmt.Sprintf("%s is the MAC of both", h.OwnMAC), "ip neigh show dev " + n.Underlay.Name},
					Mend:     []string{fmt.Sprintf("ip link set %s address %s", n.Underlay.Name, macFor(n.VTEP.Local))},
				})
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
					Summary: fmt.Sprintf("the kernel sends to host %s by the MAC %s, and %s has the address", h.Addr, h.MAC,
						h.Answers[0]),
					Evidence: []string{fmt.Sprintf("ip neigh show %s dev %s", h.Addr, n.Underlay.Name)},
					Mend:     []string{fmt.Sprintf("ip neigh delete %s dev %s", h.Addr, n.Underlay.Name)},
				})
			}
		}
	}
	return findings
}

// macFor makes a MAC for a host of its address, one that no device has of itself (IEEE 802, locally
// administered).
func macFor(addr netip.Addr) kernel.MAC {
	b := addr.As16()
	return kernel.MAC{0x02, 0xfe, b[12], b[13], b[14], b[15]}
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

// ruleOfMark returns the first rule of routing that is for marked packets.
func (f *Facts) ruleOfMark() *Rule {
	i := slices.IndexFunc(f.Routing.Rules, func(r Rule) bool { return r.OfMark })
	if i < 0 {
		return nil
	}
	return &f.Routing.Rules[i]
}

// rulesOfNames is about a rule that drops questions for names, leads them elsewhere or keeps them from being
// translated, where names are not answered.
func (f *Facts) rulesOfNames(r Rule) (findings []diagnosis.Finding) {
	for _, n := range f.Networks {
		isLacking := slices.ContainsFunc(n.Names, func(a NameAnswer) bool { return a.Err != "" && !a.Upstream })
		isBlamed := slices.ContainsFunc(f.Blocking, func(c BlockingChain) bool { return c.Network == n.Name && r.isIn(c) })
		if !isLacking || isBlamed {
			continue
		}
		found := diagnosis.Finding{
			Code: diagnosis.NamesBlocked, Level: diagnosis.Failure, Network: n.Name,
			Summary:  "a rule of another program drops questions for names, or their answers" + r.where(),
			Evidence: []string{cut(r.Text, maxLine)}, Mend: []string{r.Delete},
		}
		switch {
		case r.Translates:
			found.Summary = "a rule of another program leads questions for names elsewhere" + r.where()
		case r.Untracks:
			found.Summary = "a rule of another program exempts questions for names from tracking, so they do not reach the " +
				"agent" + r.where()
		}
		findings = append(findings, found)
	}
	return findings
}

// isIn tells whether a rule is in a chain.
func (r Rule) isIn(c BlockingChain) bool { return r.Chain == c.Table+" "+c.Chain }

// where names the chain of a rule, at the end of a sentence.
func (r Rule) where() string {
	i := strings.LastIndex(r.Chain, " ")
	if i < 0 {
		return ""
	}
	return fmt.Sprintf(": chain %s of table %s", r.Chain[i+1:], r.Chain[:i])
}

// checkNamedRules says which rules of other programs name a network's port or device, and translate
// or drop. What drops for certain is found by following packets. The others count where something is
// lost.
func checkNamedRules(f *Facts) (findings []diagnosis.Finding) {
	for _, r := range f.Rules {
		if r.OfNames {
			findings = append(findings, f.rulesOfNames(r)...)
			continue
		}
		found := diagnosis.Finding{
			Code: diagnosis.ForeignRule, Level: diagnosis.Warning,
			Summary:  "a rule of another program may drop packets of networks",
			Evidence: []string{cut(r.Text, maxLine)}, Mend: []string{r.Delete},
		}
		if r.Marks {
			marked := f.ruleOfMark()
			if marked == nil {
				continue
			}
			found.Summary = "a rule of another program marks packets of networks, and a rule of routing is for marked ones"
			found.Evidence = append(found.Evidence, "ip rule: "+marked.Text)
		}
		switch {
		case r.Changes:
			found.Summary = "a rule of another program changes frames on bridges"
		case r.GoneSource.IsValid():
			found.Level = diagnosis.Failure
			found.Summary = fmt.Sprintf(
				"a rule of another program makes what containers send to the outside come from %s, which this host does not have",
				r.GoneSource)
			found.Evidence = append(found.Evidence, "ip address show to "+r.GoneSource.String()+" prints nothing")
		case r.Untracks:
			found.Level = diagnosis.Failure
			found.Summary = "a rule of another program exempts packets of containers from tracking, or tracks them apart"
			found.Evidence = append(found.Evidence, "answers to what is translated are not theirs then")
		}
		if r.Translates {
			found.Code, found.Level = diagnosis.TunnelNAT, diagnosis.Failure
			found.Summary = "a rule of another program translates packets between hosts"
		}
		if !slices.ContainsFunc(f.Blocking, r.isIn) {
			findings = append(findings, found)
		}
	}
	return findings
}
