package adopt

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Difference is what two hosts' definitions of one network have not alike.
type Difference struct{ What, This, Other string }

// describe shows both, and says where each is.
func (d Difference) describe(this, other string) string {
	return fmt.Sprintf("%s: %s %s, %s %s", d.What, cmp.Or(d.This, "not given"), this, cmp.Or(d.Other, "not given"), other)
}

// comparedOtherwise are options that have a default, and one that each host tells the others.
var comparedOtherwise = []string{"vni", "vxlan_port", "discovery", "encryption", "encryption_port"}

// Differences returns what must be alike on all hosts of a network, and is not.
func Differences(this, other Definition) (all []Difference) {
	add := func(what, a, b string) {
		if a != b {
			all = append(all, Difference{what, a, b})
		}
	}
	add("vni", fmt.Sprint(this.VNI()), fmt.Sprint(other.VNI()))
	add("vxlan_port", fmt.Sprint(this.Port()), fmt.Sprint(other.Port()))
	add("discovery", cmp.Or(this.Options["discovery"], "static"), cmp.Or(other.Options["discovery"], "static"))
	add("encryption", cmp.Or(this.Options["encryption"], "off"), cmp.Or(other.Options["encryption"], "off"))
	add("subnets", this.subnetText(), other.subnetText())
	names := make(map[string]bool)
	for _, options := range []map[string]string{this.Options, other.Options} {
		for name := range options {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if _, isHosts := hostOptions[name]; !isHosts && !slices.Contains(comparedOtherwise, name) {
			add(name, this.Options[name], other.Options[name])
		}
	}
	if !this.IsGossip() && !other.IsGossip() {
		add("remote_ips", joinAddrs(this.Listed()), joinAddrs(other.Listed()))
	}
	add("internal", fmt.Sprint(this.Internal), fmt.Sprint(other.Internal))
	add("disable-dns", fmt.Sprint(this.NoNames), fmt.Sprint(other.NoNames))
	return all
}

func (d Definition) subnetText() string {
	var all []string
	for _, s := range d.Subnets {
		text := s.Prefix
		if s.Gateway != "" {
			text += " gateway " + s.Gateway
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// Conflict says why this host, which has those networks, cannot have another one, or that it has it
// already. A nil error says that it can.
func Conflict(here []Definition, d Definition) (exists bool, err error) {
	for _, h := range here {
		switch {
		case h.Name == d.Name:
			if diffs := Differences(h, d); len(diffs) > 0 {
				return true, fmt.Errorf("network %s: this host has it, and %s has it otherwise:\n%s", d.Name, d.Host,
					lines(diffs, "here", "on "+d.Host))
			}
			return true, nil
		case h.VNI() == d.VNI() && h.Port() == d.Port():
			return false, fmt.Errorf("network %s: this host's network %s has VNI %d on port %d too", d.Name, h.Name, d.VNI(),
				d.Port())
		}
	}
	return false, nil
}

func lines(diffs []Difference, this, other string) string {
	var all []string
	for _, d := range diffs {
		all = append(all, "  "+d.describe(this, other))
	}
	return strings.Join(all, "\n")
}

// Merge returns the networks that several hosts have, one definition a name. An error says of which
// names the hosts have different definitions, and shows both.
func Merge(all []Definition) (merged []Definition, conflicts map[string]error) {
	conflicts = make(map[string]error)
	byName := make(map[string]int)
	for _, d := range all {
		i, known := byName[d.Name]
		if !known {
			byName[d.Name] = len(merged)
			merged = append(merged, d)
			continue
		}
		if diffs := Differences(merged[i], d); len(diffs) > 0 && conflicts[d.Name] == nil {
			conflicts[d.Name] = fmt.Errorf("network %s: hosts have set it up differently:\n%s", d.Name,
				lines(diffs, "on "+merged[i].Host, "on "+d.Host))
		}
	}
	slices.SortStableFunc(merged, func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
	return merged, conflicts
}
