package survey

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
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
	c.Rules = append(c.Rules, c.goneSources(text)...)
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

// rulePlace is where a line that `nft list ruleset` prints is: in a table, such as "inet filter", and a chain.
type rulePlace struct{ table, chain string }

// enter tells whether a line begins a table or a chain, and notes it.
func (at *rulePlace) enter(line string) bool {
	fields := strings.Fields(line)
	switch {
	case strings.HasPrefix(line, "table ") && len(fields) > 2:
		at.table, at.chain = fields[1]+" "+fields[2], ""
	case strings.HasPrefix(line, "chain ") && len(fields) > 1:
		at.chain = fields[1]
	default:
		return false
	}
	return true
}

// FindRules returns the rules, as `nft -a list ruleset` prints them, that have one of the words and
// drop, mark or translate packets. Those of the driver are left out.
func FindRules(text string, words []string) (found []doctor.Rule) {
	var at rulePlace
	comesLate := false                // the chain translates what is left of questions for names: see beforeNames
	accepted := make(map[string]bool) // words by chain, that a rule before accepts
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if at.enter(line) {
			comesLate = false
		} else if strings.HasPrefix(line, "type nat hook ") {
			comesLate = !beforeNames.MatchString(line)
		}
		table, chain := at.table, at.chain
		rule, handle, ok := strings.Cut(line, " # handle ")
		if !ok || chain == "" || strings.HasSuffix(rule, "{") || strings.Contains(table, " "+kernel.FirewallTable) {
			continue
		}
		word := firstWord(words, func(w string) bool { return strings.Contains(rule+" ", w+" ") })
		named := word != "" && !accepted[table+chain+word]
		if strings.HasSuffix(rule, " accept") && word != "" {
			accepted[table+chain+word] = true
		}
		r := classifyRule(rule)
		isOfPort := strings.HasPrefix(word, " ")
		isOfFrames := r.Changes && strings.HasPrefix(table, "bridge ")
		asksNames := (!named || !isOfPort) && concernsNames(rule)
		r.Translates = r.Translates && !(asksNames && comesLate)
		ofNames := asksNames && (r.Translates || r.Untracks || r.Drops && !accepted[table+chain+ofNamesWord])
		untracks := r.Untracks && (strings.HasPrefix(word, `"`) || ofNames)
		if strings.HasSuffix(rule, " accept") && concernsNames(rule) {
			accepted[table+chain+ofNamesWord] = true
		}
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

// beforeNames matches the nat chains that come before the driver's, by which questions for names are led to
// the agent (dns_prerouting, with the priority dstnat - 1). Of several that translate a packet the first does.
var beforeNames = regexp.MustCompile(`hook prerouting priority (dstnat - |mangle|raw|-)`)

// ofNamesWord stands for questions for names among words.
const ofNamesWord = " names"

// firstWord returns the first of words that a rule has; "": it has none.
func firstWord(words []string, has func(string) bool) string {
	if i := slices.IndexFunc(words, has); i >= 0 {
		return words[i]
	}
	return ""
}

// portsOfRule matches the ports that a rule names: one, a range, or several of either.
var portsOfRule = regexp.MustCompile(`\b[ds]ports? (\{[^}]*\}|\S+)`)

// concernsNames tells whether a rule names the port of name servers, or one on which this host answers,
// and is not for TCP alone, by which few ask.
func concernsNames(rule string) bool {
	if ofTCP.MatchString(rule) && !ofUDP.MatchString(rule) {
		return false
	}
	for _, m := range portsOfRule.FindAllStringSubmatch(rule, -1) {
		for ports := range strings.FieldsFuncSeq(m[1], func(r rune) bool { return strings.ContainsRune("{}, ", r) }) {
			first, last, isRange := strings.Cut(strings.ReplaceAll(ports, ":", "-"), "-")
			if !isRange {
				last = first
			}
			from, fromErr := strconv.Atoi(first)
			to, toErr := strconv.Atoi(last)
			has := func(port int) bool { return from <= port && port <= to }
			if fromErr == nil && toErr == nil && slices.ContainsFunc(portsOfNames, has) {
				return true
			}
		}
	}
	return false
}

// What a rule says of protocols, as nft, iptables and ebtables print it.
var (
	ofTCP = regexp.MustCompile(`\btcp\b|(-p|-proto|l4proto|protocol) 6\b`)
	ofUDP = regexp.MustCompile(`\budp\b|(-p|-proto|l4proto|protocol) 17\b`)
)

// portsOfNames are the port of name servers, and the first and the last on which this host answers.
var portsOfNames = []int{53, int(network.FirstResolverPort), int(network.LastResolverPort)}

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
	r.Translates = !r.Changes && containsAny(rule, " snat ", " masquerade", " dnat ", " redirect", " tproxy ",
		"saddr set ", "daddr set ", "dport set ", ` xt target "REDIRECT"`, ` xt target "DNAT"`, ` xt target "SNAT"`,
		` xt target "MASQUERADE"`, ` xt target "NETMAP"`, ` xt target "TPROXY"`)
	r.Drops = containsAny(rule, " drop", " reject")
	r.Marks = strings.Contains(rule, " mark set ")
	r.Untracks = containsAny(rule, " notrack ", ` xt target "CT"`, ` xt target "NOTRACK"`,
		" ct zone set ", " ct original zone set ", " ct reply zone set ")
	return r
}

func containsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(text+" ", p) })
}
