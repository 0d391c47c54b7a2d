package survey

import (
	"fmt"
	"os"
	"strings"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/iptables"
	"vxlan-driver/internal/kernel"
)

// legacyPrograms are those whose rules nft does not list, by the file in which the kernel names the
// tables that were ever used.
var legacyPrograms = map[string]string{
	"iptables-legacy":  "/proc/self/net/ip_tables_names",
	"ip6tables-legacy": "/proc/self/net/ip6_tables_names",
}

// legacyFilters returns the filters of iptables-legacy, and keeps its rules as text.
func (c *collector) legacyFilters() (tables []kernel.FilterTable) {
	c.legacy = make(map[string]string)
	for program, names := range legacyPrograms {
		if used, err := os.ReadFile(names); err != nil || len(used) == 0 {
			continue
		}
		text, err := c.run(program + "-save")
		if err != nil {
			c.gap("rules of "+program, err)
			continue
		}
		c.legacy[program] = text
		tables = append(tables, iptables.Parse(program, text)...)
	}
	return tables
}

// legacyTranslations are the targets that lead packets elsewhere.
var legacyTranslations = []string{"-j SNAT ", "-j MASQUERADE ", "-j DNAT ", "-j REDIRECT ", "-j NETMAP ", "-j TPROXY "}

// legacyExemptions are the targets that exempt packets from tracking.
var legacyExemptions = []string{"-j CT --notrack ", "-j NOTRACK "}

// FindLegacyRules returns the rules, as iptables-save prints them, that name a port or a device of a
// network and drop or translate packets, or exempt them from tracking.
func FindLegacyRules(program, text string, words []string) (found []doctor.Rule) {
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "*") {
			table = line[1:]
		}
		rule, isRule := strings.CutPrefix(line, "-A ")
		word := firstWord(words, func(w string) bool { return strings.Contains(line+" ", strings.Trim(w, `"`)+" ") })
		isNamed := word != ""
		translates := containsAny(line, legacyTranslations...)
		marks := containsAny(line, "-j MARK ", "-j CONNMARK ")
		ofNames := !strings.HasPrefix(word, " ") && !marks && concernsNames(line)
		if ofNames && table == "nat" {
			continue // the driver's chain has led the questions to the agent before: see beforeNames
		}
		untracks := (ofNames || strings.HasPrefix(word, `"`)) && containsAny(line, legacyExemptions...)
		concerns := translates || marks || untracks || containsAny(line, "-j DROP ", "-j REJECT ")
		if !isRule || !isNamed && !ofNames || !concerns {
			continue
		}
		chain, _, _ := strings.Cut(rule, " ")
		found = append(found, doctor.Rule{
			Text:       fmt.Sprintf("%s, table %s: %s", program, table, line),
			Chain:      fmt.Sprintf("%s of %s %s", table, program, chain),
			Translates: translates, Marks: marks, Untracks: untracks, OfNames: ofNames,
			Delete: fmt.Sprintf("%s -t %s -D %s", program, table, rule),
		})
	}
	return found
}
