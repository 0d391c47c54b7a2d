package passage

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
)

// Obstacle is a chain of another program that drops what a network needs.
type Obstacle struct {
	Network string
	Table   string // with its family, as nft names it
	Chain   string
	Dropped []string
	Lines   []string // commands that let it pass
	Option  string   // of the network, by which the driver does it; "": none
}

// String says what is wrong and what to do.
func (o Obstacle) String() string {
	or := ""
	if o.Option != "" {
		or = "create the network with --opt " + o.Option + ", or "
	}
	return fmt.Sprintf("network %s: chain %s of table %s, which is another program's, drops %s; to let that pass, %stype: %s",
		o.Network, o.Chain, o.Table, strings.Join(o.Dropped, ", "), or, strings.Join(o.Lines, "; "))
}

// Find returns the chains that drop what a network needs. A chain of which it is not sure is left
// out.
func Find(filters []kernel.FilterTable, h Host, n Network) []Obstacle {
	var all []Obstacle
	wanted := needs(h, n)
	for _, t := range filters {
		for _, name := range slices.Sorted(maps.Keys(t.Chains)) {
			if t.Chains[name].Hook == kernel.HookNone {
				continue
			}
			if dropped, permits := blocked(t, name, wanted); len(dropped) > 0 {
				o := Obstacle{
					Network: n.Name, Table: string(t.Family) + " " + t.Name, Chain: name,
					Dropped: dropped, Lines: remedy(t, name, permits),
				}
				if asksDocker(t, name) {
					o.Option = "firewall_integration=docker"
				}
				all = append(all, o)
			}
		}
	}
	return all
}

// blocked returns which needs a chain blocks, and what it must permit.
func blocked(t kernel.FilterTable, chain string, wanted []need) (dropped []string, permits []permit) {
	for _, w := range wanted {
		for _, l := range w.legs {
			if l.hook != t.Chains[chain].Hook || !dropsAll(t, chain, l.packets) {
				continue
			}
			if !slices.Contains(dropped, w.what) {
				dropped = append(dropped, w.what)
			}
			if !slices.Contains(permits, l.permit) {
				permits = append(permits, l.permit)
			}
		}
	}
	return dropped, withoutCovered(permits)
}

func dropsAll(t kernel.FilterTable, chain string, packets []packet) bool {
	return !slices.ContainsFunc(packets, func(p packet) bool { return !p.sees(t.Family) || !drops(t, chain, p) })
}

// drops tells whether a chain surely drops the packet. A rule that lets some packets of this very
// network pass shows that the administrator has seen to it. What is dropped then is meant to be.
func drops(t kernel.FilterTable, chain string, p packet) bool {
	if !mustDrop(t, chain, p) {
		return false
	}
	anywhere := p.toAnywhere()
	return p.world == neither || mustDrop(t, chain, anywhere) || !mustDrop(t, chain, anywhere.ofStranger())
}

// withoutCovered leaves out what another permit allows too.
func withoutCovered(permits []permit) []permit {
	return slices.DeleteFunc(slices.Clone(permits), func(p permit) bool {
		wider := p
		wider.answers = false
		return p.answers && slices.Contains(permits, wider)
	})
}
