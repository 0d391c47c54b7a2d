package topology

import (
	"strings"
	"unicode/utf8"
)

// Text draws a tree of networks, hosts and containers. Lines are cut at width; 0: they are not.
func (t Topology) Text(width int) string {
	var lines []string
	for _, n := range t.Networks {
		lines = append(lines, n.title())
		for i, h := range n.Hosts {
			branch, below := branches("", i == len(n.Hosts)-1)
			lines = append(lines, branch+h.title())
			for k, c := range h.Containers {
				branch, _ := branches(below, k == len(h.Containers)-1)
				lines = append(lines, branch+c.title())
			}
		}
	}
	if len(lines) == 0 {
		return "no VXLAN network has a container on this host\n"
	}
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(cut(line, width) + "\n")
	}
	return b.String()
}

// branches returns what stands before a node, and before the nodes below it.
func branches(above string, last bool) (branch, below string) {
	if last {
		return above + "└─ ", above + "   "
	}
	return above + "├─ ", above + "│  "
}

func cut(line string, width int) string {
	if width <= 0 || utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
}
