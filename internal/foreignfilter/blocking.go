package foreignfilter

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
)

// BlockingChain is a chain of another program that drops what a network needs.
type BlockingChain struct {
	Network  string
	Table    string // with its family, as nft names it
	Chain    string
	Dropped  []string
	Commands []string // commands that let it pass
	Option   string   // of the network, by which the driver does it; "": none
}

// String says what is wrong and what to do.
func (c BlockingChain) String() string {
	or := ""
	if c.Option != "" {
		or = "recreate the network with --opt " + c.Option + ", or "
	}
	return fmt.Sprintf(
		"network %s: chain %s of table %s, which is another program's, drops %s; to let that pass, %stype: %s",
		c.Network, c.Chain, c.Table, strings.Join(c.Dropped, ", "), or, strings.Join(c.Commands, "; "))
}

// BlockingChains returns the chains that drop what a network needs. A chain of which it is not sure
// is left out.
func BlockingChains(filters []kernel.FilterTable, h Host, n Network) []BlockingChain {
	return findChains(filters, n, networkNeeds(h, n), dropsAll)
}

// AllBlockingChains returns also those that drop what rarely meets a filter: frames for this host,
// ARP, and what passes the containers' devices.
func AllBlockingChains(filters []kernel.FilterTable, h Host, n Network) []BlockingChain {
	return findChains(filters, n, append(networkNeeds(h, n), furtherNeeds(h, n)...), dropsAll)
}

// SuspectChains returns the chains that may drop what goes from host to host: by a rate, a size or
// another condition that packets alone decide, or by a program that is asked.
func SuspectChains(filters []kernel.FilterTable, h Host, n Network) []BlockingChain {
	needs := []need{n.bridgeFramesNeed(), n.tunnelNeed(), n.wireGuardNeed(), n.addressNeed()}
	for _, s := range n.Subnets {
		if s.Prefix.Addr().Is4() && h.Bridged4 || s.Prefix.Addr().Is6() && h.Bridged6 {
			needs = append(needs, n.bridgedNeed(s))
		}
	}
	if n.usesAgents(h) {
		needs = append(needs, n.agentNeed(h.AgentPort))
	}
	return findChains(filters, n, needs, mayDropAny)
}

// dropTest tells whether a chain drops packets, of which one has to pass.
type dropTest func(t kernel.FilterTable, chain string, packets []packet) bool

func findChains(filters []kernel.FilterTable, n Network, needs []need, drops dropTest) (all []BlockingChain) {
	for _, t := range filters {
		for _, name := range slices.Sorted(maps.Keys(t.Chains)) {
			if t.Chains[name].Hook == kernel.HookNone {
				continue
			}
			lost, permits := blockedNeeds(t, name, needs, drops)
			if len(lost) == 0 {
				continue
			}
			c := BlockingChain{
				Network: n.Name, Table: tableName(t), Chain: name,
				Dropped: lost, Commands: allowingCommands(t, name, permits),
			}
			if asksDocker(t, name) {
				c.Option = "firewall_integration=docker"
			}
			all = append(all, c)
		}
	}
	return all
}

// tableName is a table as people know it.
func tableName(t kernel.FilterTable) string {
	if t.Program != "" {
		return t.Name + " of " + t.Program
	}
	return string(t.Family) + " " + t.Name
}

// blockedNeeds returns which needs a chain blocks, and what it must permit.
func blockedNeeds(t kernel.FilterTable, chain string, needs []need, drops dropTest) (lost []string, permits []permit) {
	for _, w := range needs {
		if slices.ContainsFunc(w.within, func(wider string) bool { return slices.Contains(lost, wider) }) {
			continue
		}
		for _, l := range w.legs {
			if !l.meets(t, chain) || !drops(t, chain, l.packets) {
				continue
			}
			if !slices.Contains(lost, w.what) {
				lost = append(lost, w.what)
			}
			if !slices.Contains(permits, l.permit) {
				permits = append(permits, l.permit)
			}
		}
	}
	return lost, withoutCovered(permits)
}

// meets tells whether packets of a leg pass a base chain.
func (l leg) meets(t kernel.FilterTable, chain string) bool {
	c := t.Chains[chain]
	if l.hook != c.Hook || !slices.ContainsFunc(l.packets, func(p packet) bool { return p.isSeenBy(t.Family, l.hook) }) {
		return false
	}
	device := cmp.Or(l.permit.in, l.permit.out)
	isMet := func(pattern string) bool { return kernel.IsDevice(pattern, device) }
	return len(c.Devices) == 0 || slices.ContainsFunc(c.Devices, isMet)
}

func dropsAll(t kernel.FilterTable, chain string, packets []packet) bool {
	return !slices.ContainsFunc(packets, func(p packet) bool { return !isUnintendedDrop(t, chain, p) })
}

func mayDropAny(t kernel.FilterTable, chain string, packets []packet) bool {
	return slices.ContainsFunc(packets, func(p packet) bool { return mayDrop(t, chain, p) })
}

// isUnintendedDrop tells whether a chain surely drops the packet. A rule that lets some packets of
// this very network pass shows that the administrator has seen to it. What is dropped then is meant
// to be.
func isUnintendedDrop(t kernel.FilterTable, chain string, p packet) bool {
	if !mustDrop(t, chain, p) {
		return false
	}
	anywhere := p.toAnywhere()
	return p.world == worldIsNeither || mustDrop(t, chain, anywhere) || !mustDrop(t, chain, anywhere.ofOtherBridge())
}

// withoutCovered leaves out what another permit allows too.
func withoutCovered(permits []permit) []permit {
	return slices.DeleteFunc(slices.Clone(permits), func(p permit) bool {
		wider := p
		wider.answers = false
		return p.answers && slices.Contains(permits, wider)
	})
}
