package iptables

import (
	"strings"

	"vxlan-driver/internal/kernel"
)

// builtin are the chains through which packets come into a table.
var builtin = map[string]kernel.FilterHook{
	"PREROUTING": kernel.HookPrerouting, "INPUT": kernel.HookInput, "FORWARD": kernel.HookForward,
	"OUTPUT": kernel.HookOutput, "POSTROUTING": kernel.HookPostrouting,
}

// Parse reads what a program such as iptables-legacy-save prints. Tables that translate addresses
// are left out.
func Parse(program, text string) (tables []kernel.FilterTable) {
	family := kernel.FamilyIP
	if strings.HasPrefix(program, "ip6") {
		family = kernel.FamilyIP6
	}
	var t *table
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "*"):
			t = newTable(family, program, line[1:])
			if t.Name != "nat" {
				tables = append(tables, t.FilterTable)
			}
		case t == nil:
		case strings.HasPrefix(line, ":"):
			t.addChain(strings.Fields(line[1:]))
		case strings.HasPrefix(line, "-A "):
			t.addRule(words(line))
		}
	}
	return tables
}

// table is a FilterTable while it is read.
type table struct {
	kernel.FilterTable
	isIPv6 bool
}

func newTable(family kernel.Family, program, name string) *table {
	return &table{kernel.FilterTable{
		Family: family, Name: name, Program: program,
		Chains: make(map[string]kernel.FilterChain), Sets: make(map[string]kernel.FilterSet),
	}, family == kernel.FamilyIP6}
}

// addChain reads a line such as ":FORWARD DROP [0:0]".
func (t *table) addChain(fields []string) {
	if len(fields) < 2 {
		return
	}
	t.Chains[fields[0]] = kernel.FilterChain{Hook: builtin[fields[0]], PolicyDrop: fields[1] == "DROP"}
}

// addRule reads a rule such as "-A INPUT -p tcp -j ACCEPT", by its words.
func (t *table) addRule(args []string) {
	if len(args) < 2 {
		return
	}
	r := ruleReader{table: t, args: args[2:]}
	for len(r.args) > 0 {
		r.readOption()
	}
	chain := t.Chains[args[1]]
	chain.Rules = append(chain.Rules, append(r.matches, r.target...))
	t.Chains[args[1]] = chain
}

// words splits a line at spaces that are not between double quotes.
func words(line string) (all []string) {
	var word strings.Builder
	isQuoted, isEscaped := false, false
	for _, c := range line + " " {
		switch {
		case isEscaped:
			word.WriteRune(c)
			isEscaped = false
		case c == '\\':
			isEscaped = true
		case c == '"':
			isQuoted = !isQuoted
		case c == ' ' && !isQuoted:
			if word.Len() > 0 {
				all = append(all, word.String())
			}
			word.Reset()
		default:
			word.WriteRune(c)
		}
	}
	return all
}
