package survey

import (
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/doctor"
)

// filters finds out what containers have of their own that may drop packets, of those that are silent or
// that get no answers.
func (c *collector) filters() {
	for i := range c.Networks {
		n := &c.Networks[i]
		for at := range n.Insides {
			in := &n.Insides[at]
			isSilent := slices.ContainsFunc(n.Silent, func(s doctor.SilentContainer) bool { return s.Name == in.Container })
			getsNone := slices.ContainsFunc(n.Exchanges, func(e doctor.Exchange) bool {
				return e.From == in.Container && !e.Ping && e.HostPing
			})
			in.NoGateway = !reachesGateway(n, in.Namespace)
			lacksNames := slices.ContainsFunc(n.Names, func(a doctor.NameAnswer) bool {
				return a.Container == in.Container && a.Err != ""
			})
			if isSilent || getsNone || in.NoGateway || lacksNames {
				in.Filters = c.ownFilters(in.Namespace, in.Interface)
			}
		}
	}
}

// reachesGateway tells whether a gateway answers a container's ping. Where there is none, none is missed.
func reachesGateway(n *doctor.Network, namespace string) bool {
	for _, gateway := range gatewaysOf(*n) {
		if gateway.IsValid() && !again(func() bool { return pings(namespace, gateway) }) {
			return false
		}
	}
	return true
}

func (c *collector) ownFilters(namespace, device string) (filters []doctor.Rule) {
	inside := func(args ...string) string {
		text, _ := c.run("nsenter", append([]string{"--net=" + namespace}, args...)...) // what is not known is not named
		return text
	}
	filters = FindDroppingTables(inside("nft", "list", "ruleset"))
	for program, names := range legacyPrograms {
		if inside("cat", names) != "" {
			filters = append(filters, FindDroppingLegacy(program, inside(program+"-save"))...)
		}
	}
	filters = append(filters, FindBlocks(inside("ip", "xfrm", "policy"), inside("ip", "xfrm", "state"))...)
	filters = append(filters, FindDefaultBlocks(inside("ip", "xfrm", "policy", "getdefault"))...)
	for _, side := range []string{"ingress", "egress"} {
		text := inside("tc", "filter", "show", "dev", device, side)
		if hook, found := FilterHook(device, side, text, nil); found {
			filters = append(filters, doctor.Rule{Text: hook.What + ": " + hook.Text, Delete: hook.Remove})
		}
	}
	return filters
}

// FindDroppingTables returns the tables, as `nft list ruleset` prints them, that have a rule or a policy
// which drops, or a rule that leads packets elsewhere: questions for names, or what it sends.
func FindDroppingTables(text string) (found []doctor.Rule) {
	table, sends := "", false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, isTable := strings.CutPrefix(line, "table "); isTable {
			table = strings.TrimSuffix(rest, " {")
		}
		if strings.HasPrefix(line, "type ") {
			sends = strings.Contains(line, "type nat hook output ")
		}
		isNamed := slices.ContainsFunc(found, func(r doctor.Rule) bool { return r.Delete == "nft delete table "+table })
		drops := containsAny(line, "policy drop", " drop ", " reject ") || line == "drop" || line == "reject"
		misleads := concernsNames(line) && classifyRule(line).Translates
		changes := sends && containsAny(line, " dnat ", " redirect ") && !misleads
		if (drops || misleads || changes) && !isNamed {
			found = append(found, doctor.Rule{
				Text: "table " + table + ": " + line, Delete: "nft delete table " + table, Translates: misleads, Changes: changes,
			})
		}
	}
	return found
}

// FindDroppingLegacy returns the same of what a program such as iptables-legacy-save prints.
func FindDroppingLegacy(program, text string) (found []doctor.Rule) {
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		rest, isTable := strings.CutPrefix(line, "*")
		if isTable {
			table = rest
		}
		f := doctor.Rule{Text: fmt.Sprintf("%s, table %s: %s", program, table, line)}
		rule, isRule := strings.CutPrefix(line, "-A ")
		policy, isPolicy := strings.CutPrefix(line, ":")
		f.Translates = isRule && concernsNames(line) && containsAny(line, legacyTranslations...)
		switch chain, _, _ := strings.Cut(policy, " "); {
		case isPolicy && strings.HasPrefix(policy, chain+" DROP"):
			f.Delete = fmt.Sprintf("%s -t %s -P %s ACCEPT", program, table, chain)
		case isRule && (f.Translates || containsAny(line, "-j DROP ", "-j REJECT ")):
			f.Delete = fmt.Sprintf("%s -t %s -D %s", program, table, rule)
		default:
			continue
		}
		found = append(found, f)
	}
	return found
}
