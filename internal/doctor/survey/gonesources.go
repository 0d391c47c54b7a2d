package survey

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/doctor"
)

// goneSources returns the rules that give what containers send to the outside an address which the host has
// not, and which is of a range of its underlay: nobody answers for it there.
func (c *collector) goneSources(text string) []doctor.Rule {
	var have []netip.Addr
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // without them nothing is judged
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			have = append(have, p.Addr())
		}
	}
	var subnets []netip.Prefix
	var bridges []string
	isGone := func(addr netip.Addr) bool {
		return !slices.Contains(have, addr) && slices.ContainsFunc(c.Networks, func(n doctor.Network) bool {
			return slices.ContainsFunc(n.Underlay.Addrs, func(p netip.Prefix) bool { return p.Contains(addr) })
		})
	}
	for _, n := range c.Networks {
		for _, s := range n.Subnets {
			if s.Gateway.IsValid() && !n.Internal && n.VRF == "" {
				subnets = append(subnets, s.Prefix)
			}
		}
		bridges = append(bridges, n.Bridge.Name)
	}
	return FindGoneSources(text, subnets, bridges, isGone)
}

// FindGoneSources returns the rules, as `nft -a list ruleset` prints them, that translate packets of one of
// the subnets, whoever they are for, to a source that is gone.
func FindGoneSources(
	text string, subnets []netip.Prefix, bridges []string, isGone func(netip.Addr) bool,
) (found []doctor.Rule) {
	var at rulePlace
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		at.enter(line)
		rule, handle, ok := strings.Cut(line, " # handle ")
		source, err := netip.ParseAddr(wordAfter(rule, "to"))
		if !ok || err != nil || !strings.Contains(rule, "snat ") || strings.Contains(rule, "!=") || !isGone(source) ||
			containsAny(rule, " daddr ", "dport ", "sport ", " mark ", " l4proto ", " protocol ") {
			continue
		}
		by := strings.Trim(wordAfter(rule, "iifname"), `"`)
		if by != "" && !slices.Contains(bridges, by) || !isOfSubnets(wordAfter(rule, "saddr"), source.Is6(), subnets) {
			continue
		}
		found = append(found, doctor.Rule{
			Text: "table " + at.table + ", chain " + at.chain + ": " + rule, Chain: at.table + " " + at.chain,
			GoneSource: source,
			Delete:     "nft delete rule " + at.table + " " + at.chain + " handle " + handle,
		})
	}
	return found
}

// isOfSubnets tells whether what a rule says of the source covers one of the subnets of a family; "": all.
func isOfSubnets(saddr string, six bool, subnets []netip.Prefix) bool {
	p, err := netip.ParsePrefix(saddr)
	return slices.ContainsFunc(subnets, func(s netip.Prefix) bool {
		return s.Addr().Is6() == six && (saddr == "" || err == nil && p.Overlaps(s) && p.Bits() <= s.Bits())
	})
}
