package adopt

import (
	"fmt"
	"slices"
	"strings"
)

// Missing is a network that other hosts have and this one lacks.
type Missing struct {
	Definition          // of one of them
	Hosts      []string // that have it, sorted
}

// Contradiction is a network that hosts have set up differently.
type Contradiction struct {
	Network string // its name
	Text    string // what differs between two hosts, and how many differ besides
}

// String says all of it in one line.
func (c Contradiction) String() string {
	return fmt.Sprintf("network %s is set up differently: %s", c.Network, c.Text)
}

// Compare compares the networks of this host with those of others. A network is the same on two hosts
// if its name is, or its VNI and port are. Both results are sorted by name.
func Compare(here, others []Definition) (missing []Missing, contradictions []Contradiction) {
	differing := make(map[string]int)
	contradict := func(this, other Definition, diffs []Difference, where string) {
		if differing[this.Name]++; differing[this.Name] == 1 {
			contradictions = append(contradictions, Contradiction{this.Name, joinDifferences(diffs, where, "on "+other.Host)})
		}
	}
	for _, o := range others {
		if h := slices.IndexFunc(here, o.isSame); h >= 0 {
			if diffs := Differences(here[h], o); len(diffs) > 0 {
				contradict(here[h], o, diffs, "here")
			}
			continue
		}
		m := slices.IndexFunc(missing, func(m Missing) bool { return o.isSame(m.Definition) })
		if m < 0 {
			missing = append(missing, Missing{o, []string{o.Host}})
			continue
		}
		missing[m].Hosts = append(missing[m].Hosts, o.Host)
		if diffs := Differences(missing[m].Definition, o); len(diffs) > 0 {
			contradict(missing[m].Definition, o, diffs, "on "+missing[m].Host)
		}
	}
	for i, c := range contradictions {
		if more := differing[c.Network] - 1; more > 0 {
			contradictions[i].Text += fmt.Sprintf(" (and on %d more)", more)
		}
	}
	for _, m := range missing {
		slices.Sort(m.Hosts)
	}
	slices.SortFunc(missing, func(a, b Missing) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(contradictions, func(a, b Contradiction) int { return strings.Compare(a.Network, b.Network) })
	return missing, contradictions
}

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
