package foreignfilter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
)

// allowingCommands returns the commands that make a chain let packets pass, in the language of the
// program that made it.
func allowingCommands(t kernel.FilterTable, chain string, permits []permit) []string {
	write := func(p permit) string { return nftLine(t, chain, p) }
	switch isIPTables := isOfIPTables(t, chain); {
	case asksDocker(t, chain):
		write = func(p permit) string { return iptablesLine(t, kernel.DockerChain, p) }
	case isIPTables && usesUFW(t):
		write = ufwLine
	case isIPTables:
		write = func(p permit) string { return iptablesLine(t, chain, p) }
	case t.Name == "firewalld":
		write = firewalldLine
	}
	var lines []string
	seen := make(map[string]bool)
	for _, p := range permits {
		if line := write(p); !seen[line] {
			seen[line] = true
			lines = append(lines, line)
		}
	}
	return lines
}

// isOfIPTables tells whether iptables made a chain, or ebtables or arptables. Those that nft lists
// are known by their names in capitals.
func isOfIPTables(t kernel.FilterTable, chain string) bool {
	return t.Program != "" || t.Name == "filter" && t.Family != kernel.FamilyInet && chain == strings.ToUpper(chain)
}

// asksDocker tells whether a chain jumps to the one that Docker leaves to the administrator.
func asksDocker(t kernel.FilterTable, chain string) bool {
	return isOfIPTables(t, chain) && slices.ContainsFunc(t.Chains[chain].Rules, func(r kernel.FilterRule) bool {
		return slices.ContainsFunc(r, func(s kernel.FilterStep) bool { return s.Verdict.Chain == kernel.DockerChain })
	})
}

func usesUFW(t kernel.FilterTable) bool {
	for name := range t.Chains {
		if strings.HasPrefix(name, "ufw-") || strings.HasPrefix(name, "ufw6-") {
			return true
		}
	}
	return false
}

// iptablesCommand begins a command line of the program that made a table.
func iptablesCommand(t kernel.FilterTable) string {
	command := "iptables"
	switch t.Family {
	case kernel.FamilyIP6:
		command = "ip6tables"
	case kernel.FamilyBridge:
		command = "ebtables"
	case kernel.FamilyARP:
		command = "arptables"
	}
	command = cmp.Or(t.Program, command)
	if t.Name != "filter" {
		command += " -t " + t.Name
	}
	return command
}

func iptablesLine(t kernel.FilterTable, chain string, p permit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s -I %s", iptablesCommand(t), chain)
	writeIf(&b, " -i %s", p.in)
	writeIf(&b, " -o %s", p.out)
	b.WriteString(p.frames.ebtables)
	writeIf(&b, " -p %s", p.protocol)
	if p.last != 0 {
		fmt.Fprintf(&b, " --dport %s", portRange(p, ":"))
	}
	if p.answers {
		b.WriteString(" -m conntrack --ctstate RELATED,ESTABLISHED")
	}
	b.WriteString(" -j ACCEPT")
	return b.String()
}

func ufwLine(p permit) string {
	var b strings.Builder
	b.WriteString("ufw ")
	if p.hook == kernel.HookForward {
		b.WriteString("route ")
	}
	b.WriteString("allow")
	writeIf(&b, " in on %s", p.in)
	writeIf(&b, " out on %s", p.out)
	if p.last != 0 {
		fmt.Fprintf(&b, " to any port %s proto %s", portRange(p, ":"), p.protocol)
	}
	return b.String()
}

func nftLine(t kernel.FilterTable, chain string, p permit) string {
	var b strings.Builder
	fmt.Fprintf(&b, "nft insert rule %s %s %s", t.Family, t.Name, chain)
	writeIf(&b, " iifname %s", p.in)
	writeIf(&b, " oifname %s", p.out)
	b.WriteString(p.frames.nft)
	if p.last != 0 {
		fmt.Fprintf(&b, " %s dport %s", p.protocol, portRange(p, "-"))
	} else {
		writeIf(&b, " meta l4proto %s", p.protocol)
	}
	if p.answers {
		b.WriteString(" ct state established,related")
	}
	b.WriteString(" accept")
	return b.String()
}

// firewalldLine trusts that the driver has put the bridge into a zone that lets all pass.
func firewalldLine(p permit) string {
	if p.last == 0 || p.byZone {
		return "vxlanctl reload"
	}
	return fmt.Sprintf("firewall-cmd --add-port=%s/%s", portRange(p, "-"), p.protocol)
}

func writeIf(b *strings.Builder, format, name string) {
	if name != "" {
		fmt.Fprintf(b, format, name)
	}
}

func portRange(p permit, between string) string {
	if p.first == p.last {
		return fmt.Sprint(p.first)
	}
	return fmt.Sprintf("%d%s%d", p.first, between, p.last)
}
