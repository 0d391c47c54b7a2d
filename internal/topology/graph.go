package topology

import (
	"fmt"
	"strings"
)

// Dot draws a graph in the language of Graphviz.
func (t Topology) Dot() string {
	var b strings.Builder
	b.WriteString("graph vxlan {\n  graph [rankdir=LR, fontname=\"sans-serif\"];\n" +
		"  node [shape=box, fontname=\"sans-serif\"];\n  edge [fontname=\"sans-serif\"];\n")
	for i, n := range t.Networks {
		fmt.Fprintf(&b, "  subgraph cluster_n%d {\n    label=%s;\n", i, dotQuote(n.title()))
		for k, h := range n.Hosts {
			lines := append([]string{h.Name, h.State}, h.drawnContainers()...)
			fmt.Fprintf(&b, "    n%dh%d [label=%s];\n", i, k, dotQuote(strings.Join(lines, "\n")))
		}
		for k, h := range n.Hosts {
			if n.Here && h.State != StateSelf {
				fmt.Fprintf(&b, "    n%dh0 -- n%dh%d [label=%s, style=%s];\n", i, i, k, dotQuote(h.State), dotStyles[h.State])
			}
		}
		b.WriteString("  }\n")
	}
	b.WriteString("}\n")
	return b.String()
}

var dotStyles = map[string]string{StateReachable: "solid", StateLossy: "dotted", StateUnreachable: "dashed"}

// dotQuote makes a string of Graphviz' language. A backslash there begins an escape, such as \n.
func dotQuote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text) + `"`
}

// Mermaid draws a flowchart in the language of Mermaid, which many viewers of Markdown know.
func (t Topology) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for i, n := range t.Networks {
		fmt.Fprintf(&b, "  subgraph n%d[%s]\n", i, mermaidQuote(n.title()))
		for k, h := range n.Hosts {
			lines := append([]string{h.Name, h.State}, h.drawnContainers()...)
			fmt.Fprintf(&b, "    n%dh%d[%s]\n", i, k, mermaidQuote(lines...))
		}
		b.WriteString("  end\n")
		for k, h := range n.Hosts {
			if n.Here && h.State != StateSelf {
				fmt.Fprintf(&b, "  n%dh0 %s n%dh%d\n", i, mermaidLines[h.State], i, k)
			}
		}
	}
	return b.String()
}

var mermaidLines = map[string]string{StateReachable: "---", StateLossy: "-.-", StateUnreachable: "-.-"}

// mermaidQuote makes a label of lines. Mermaid's entities begin with # and have the number of the
// character. Characters that mean something in its labels, in Markdown or in HTML are written so.
func mermaidQuote(lines ...string) string {
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteString("<br/>")
		}
		for _, r := range line {
			if strings.ContainsRune("\"#&;<>\\`*_~[]{}|", r) {
				fmt.Fprintf(&b, "#%d;", r)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return `"` + b.String() + `"`
}
