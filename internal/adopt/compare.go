package adopt

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Difference is what two hosts' definitions of one network have not alike.
type Difference struct {
	What, This, Other string
	// Splits tells that containers of the two do not reach each other, or get addresses twice.
	Splits bool
}

// describe shows both, and says where each is.
func (d Difference) describe(this, other string) string {
	return fmt.Sprintf("%s: %s %s, %s %s", d.What, cmp.Or(d.This, "not given"), this, cmp.Or(d.Other, "not given"), other)
}

// Differences returns what should be alike on all hosts of a network, and is not.
func Differences(this, other Definition) (all []Difference) {
	theirs := other.properties()
	find := func(in []property, what string) int {
		return slices.IndexFunc(in, func(p property) bool { return p.what == what })
	}
	for _, p := range this.properties() {
		var value string
		if i := find(theirs, p.what); i >= 0 {
			value = theirs[i].value
			theirs = slices.Delete(theirs, i, i+1)
		}
		if p.value != value {
			all = append(all, Difference{p.what, p.value, value, p.splits})
		}
	}
	for _, p := range theirs {
		if p.value != "" {
			all = append(all, Difference{p.what, "", p.value, p.splits})
		}
	}
	if this.Options["discovery"] != other.Options["discovery"] { // at most one of them has a list
		all = slices.DeleteFunc(all, func(d Difference) bool {
			return d.What == "remote_ips" || d.What == "max_hosts" && this.sharesPlane(other)
		})
	}
	for i := range all {
		all[i].Splits = all[i].Splits && !(all[i].What == "discovery" && this.sharesPlane(other))
	}
	return all
}

// sharesPlane tells whether hosts find each other that have a network so, since it moves from one control
// plane to another.
func (d Definition) sharesPlane(o Definition) bool {
	planes := []string{d.option("discovery", "static"), d.Options["discovery_also"]}
	return slices.Contains(planes, o.option("discovery", "static")) ||
		o.Options["discovery_also"] != "" && slices.Contains(planes, o.Options["discovery_also"])
}

// losesLarge is what follows if hosts differ in the MTU.
const losesLarge = "; large packets between these hosts may be lost"

// splits tells whether hosts that differ so are in fact on two networks.
func splits(diffs []Difference) bool {
	return slices.ContainsFunc(diffs, func(d Difference) bool { return d.Splits })
}

// Conflict says why this host, which has those networks, cannot have another one, or that it has it
// already. A nil error says that it can. Notes are of differences that split nothing, and of another name.
func Conflict(here []Definition, d Definition) (exists bool, notes []string, err error) {
	if i := slices.IndexFunc(here, func(h Definition) bool { return h.Name == d.Name }); i >= 0 {
		diffs := Differences(here[i], d)
		if splits(diffs) {
			return true, nil, fmt.Errorf("network %s: this host has it, and %s has it otherwise:\n%s", d.Name, d.Host,
				lines(diffs, "here", "on "+d.Host))
		}
		for _, diff := range diffs {
			note := fmt.Sprintf("network %s differs in %s", d.Name, diff.describe("here", "on "+d.Host))
			if isMTU(diff) {
				note += losesLarge
			}
			notes = append(notes, note)
		}
		return true, notes, nil
	}
	i := slices.IndexFunc(here, func(h Definition) bool { return h.VNI() == d.VNI() && h.Port() == d.Port() })
	if i < 0 {
		return false, nil, nil
	}
	h := here[i]
	if d.isOf(h) && !splits(Differences(h, d)) {
		return true, []string{fmt.Sprintf("network %s has the name %s on this host", d.Name, h.Name)}, nil
	}
	return false, nil, fmt.Errorf("network %s: this host's network %s has VNI %d on port %d too; subnets: %s here, "+
		"%s on %s",
		d.Name, h.Name, d.VNI(), d.Port(), cmp.Or(h.subnetText(), "none"), cmp.Or(d.subnetText(), "none"), d.Host)
}

func lines(diffs []Difference, this, other string) string {
	var all []string
	for _, d := range diffs {
		all = append(all, "  "+d.describe(this, other))
	}
	return strings.Join(all, "\n")
}
