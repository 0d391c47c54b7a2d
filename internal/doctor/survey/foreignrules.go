package survey

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel"
)

// maxRuleset bounds what is read of other programs' rules: megabytes of it name no port.
const maxRuleset = 8 << 20

// rules finds rules of other programs that name a network's port or device, and drop or translate.
func (c *collector) rules() {
	text, err := c.run("nft", "-a", "list", "ruleset")
	if err != nil || len(text) > maxRuleset {
		c.gap("the text of firewall rules", err)
		return
	}
	words := []string{}
	for _, n := range c.Networks {
		words = append(words, portWord(n.Tunnel.Port), portWord(c.Agent.Port), `"`+n.Bridge.Name+`"`, `"`+n.Device.Name+`"`)
	}
	c.Rules = FindRules(text, words)
	c.AlienChains = FindAlienChains(text)
	for program, saved := range c.legacy {
		c.Rules = append(c.Rules, FindLegacyRules(program, saved, words)...)
	}
}

// FindAlienChains returns the chains of the driver's own tables that drop by their policy: all of its own
// accept. Other rules that somebody added are known by their comments.
func FindAlienChains(text string) (found []string) {
	var table, chain string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "table ") && len(fields) > 2:
			table = fields[1] + " " + fields[2]
		case strings.HasPrefix(line, "chain ") && len(fields) > 1:
			chain = fields[1]
		case strings.HasPrefix(line, "type ") && strings.Contains(line, "policy drop;") &&
			strings.Contains(table, " "+kernel.FirewallTable):
			found = append(found, table+" "+chain)
		}
	}
	return found
}

func portWord(port uint16) string {
	return " " + netip.AddrPortFrom(netip.IPv4Unspecified(), port).String()[len("0.0.0.0:"):]
}

// FindRules returns the rules, as `nft -a list ruleset` prints them, that have one of the words and
// drop, mark or translate packets. Those of the driver are left out.
func FindRules(text string, words []string) (found []doctor.Rule) {
	var table, chain string
	accepted := make(map[string]bool) // words by chain, that a rule before accepts
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		fields := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "table ") && len(fields) > 2:
			table, chain = fields[1]+" "+fields[2], ""
		case strings.HasPrefix(line, "chain ") && len(fields) > 1:
			chain = fields[1]
		}
		rule, handle, ok := strings.Cut(line, " # handle ")
		if !ok || chain == "" || strings.HasSuffix(rule, "{") || strings.Contains(table, " "+kernel.FirewallTable) {
			continue
		}
		var word string
		if i := slices.IndexFunc(words, func(w string) bool { return strings.Contains(rule+" ", w+" ") }); i >= 0 {
			word = words[i]
		}
		named := word != "" && !accepted[table+chain+word]
		if strings.HasSuffix(rule, " accept") && word != "" {
			accepted[table+chain+word] = true
		}
		r := classifyRule(rule)
		isOfFrames := r.Changes && strings.HasPrefix(table, "bridge ")
		untracks := r.Untracks && strings.HasPrefix(word, `"`)
		ofNames := !named && (r.Translates || r.Drops) && portOfNames.MatchString(rule)
		if named && (r.Translates || r.Drops || r.Marks || r.Changes || untracks) || isOfFrames || ofNames {
			found = append(found, doctor.Rule{
				Text: "table " + table + ", chain " + chain + ": " + rule, Chain: table + " " + chain,
				Translates: r.Translates || r.Changes && named, Changes: r.Changes && !named, Marks: r.Marks && !r.Drops,
				Untracks: untracks, OfNames: ofNames,
				Delete: "nft delete rule " + table + " " + chain + " handle " + handle,
			})
		}
	}
	return found
}

// portOfNames matches the port of name servers, and those on which this host answers, alone or in a set.
var portOfNames = regexp.MustCompile(`\b[ds]port (\{[^}]*\b)?(53|610(5[3-9]|6[0-8]))\b`)

// whatRuleDoes is what a rule does with packets.
type whatRuleDoes struct{ Translates, Changes, Drops, Marks, Untracks bool }

// changedFields are fields that a rule may set in a packet, and by which it goes astray.
var changedFields = []string{"ether saddr", "ether daddr", "ip ttl", "ip6 hoplimit", "arp saddr ip", "arp daddr ip"}

func classifyRule(rule string) (r whatRuleDoes) {
	before, _, sets := strings.Cut(rule, " set ")
	isRaw := sets && strings.HasPrefix(before[strings.LastIndex(before, " ")+1:], "@")
	r.Changes = isRaw || sets && slices.ContainsFunc(changedFields, func(f string) bool {
		return strings.HasSuffix(before, f)
	})
	r.Translates = !r.Changes && containsAny(rule, " snat ", " masquerade", " dnat ", " redirect", "saddr set ",
		"daddr set ", "dport set ")
	r.Drops = containsAny(rule, " drop", " reject")
	r.Marks = strings.Contains(rule, " mark set ")
	r.Untracks = containsAny(rule, " notrack ")
	return r
}

func containsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(text+" ", p) })
}
