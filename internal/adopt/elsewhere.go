package adopt

import (
	"fmt"
	"slices"
	"strings"
)

// Contradiction is a network that hosts have set up differently.
type Contradiction struct {
	Network string // its name
	Text    string // what differs, and where
	Splits  bool   // containers do not reach each other
	MTU     bool   // differs
}

// String says all of it in one line.
func (c Contradiction) String() string {
	text := fmt.Sprintf("network %s is set up differently: %s", c.Network, c.Text)
	switch {
	case c.Splits:
		text += "; its containers may not reach each other"
	case c.MTU:
		text += losesLarge
	}
	return text
}

// Compare compares the networks of this host with those of others. A network is the same here and there
// if its name is, or its VNI and port are. Both results are sorted by name.
func Compare(here, others []Definition) (missing []Network, contradictions []Contradiction) {
	differing := make(map[string]int)
	var elsewhere []Definition
	for _, o := range others {
		h := slices.IndexFunc(here, o.isSame)
		if h < 0 {
			elsewhere = append(elsewhere, o)
			continue
		}
		diffs := Differences(here[h], o)
		if len(diffs) == 0 {
			continue
		}
		name := here[h].Name
		i := slices.IndexFunc(contradictions, func(c Contradiction) bool { return c.Network == name })
		if i < 0 {
			i = len(contradictions)
			text := joinDifferences(diffs, "here", "on "+o.Host)
			contradictions = append(contradictions, Contradiction{Network: name, Text: text})
		}
		differing[name]++
		contradictions[i].Splits = contradictions[i].Splits || splits(diffs)
		contradictions[i].MTU = contradictions[i].MTU || slices.ContainsFunc(diffs, isMTU)
	}
	for i, c := range contradictions {
		if more := differing[c.Network] - 1; more > 0 {
			contradictions[i].Text += fmt.Sprintf(" (and on %d more)", more)
		}
	}
	missing = Group(elsewhere)
	contradictions = append(contradictions, contradictionsOf(missing)...)
	slices.SortStableFunc(contradictions, func(a, b Contradiction) int { return strings.Compare(a.Network, b.Network) })
	return missing, contradictions
}

// contradictionsOf are those among other hosts: networks that differ, and those with one name.
func contradictionsOf(networks []Network) (all []Contradiction) {
	for i, n := range networks {
		c := Contradiction{Network: n.Name}
		var texts []string
		for _, v := range n.Variations {
			texts, c.Splits, c.MTU = append(texts, v.String()), c.Splits || v.Splits, c.MTU || v.What == "mtu"
		}
		if i > 0 && networks[i-1].Name == n.Name {
			before := networks[i-1]
			diffs := Differences(before.Definition, n.Definition)
			texts = append(texts, joinDifferences(diffs, "on "+joinHosts(before.Hosts), "on "+joinHosts(n.Hosts)))
			c.Splits = true
		}
		if c.Text = strings.Join(texts, "; "); c.Text != "" {
			all = append(all, c)
		}
	}
	return all
}

func isMTU(d Difference) bool { return d.What == "mtu" }

func (d Definition) isSame(other Definition) bool {
	return d.Name == other.Name || d.VNI() == other.VNI() && d.Port() == other.Port()
}

func joinDifferences(diffs []Difference, this, other string) string {
	var all []string
	for _, d := range diffs {
		all = append(all, d.describe(this, other))
	}
	return strings.Join(all, "; ")
}
