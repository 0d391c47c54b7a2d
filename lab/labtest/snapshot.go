package labtest

import (
	_ "embed" // for the script
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab"
)

//go:embed snapshot.sh
var snapshotScript string

// Snapshot prints all that a driver could leave on a host: links, addresses, routes, rules,
// forwarding entries, the packet filter, kernel parameters, files below /run, mounts, namespaces,
// processes, sockets. Named network namespaces (`ip netns`) are printed too. Two equal states give
// equal texts; see [Changes].
func Snapshot(t testing.TB, h *lab.Host, namespaces ...string) string {
	t.Helper()
	out, err := h.Run(t.Context(), append([]string{"sh", "-c", snapshotScript, "snapshot"}, namespaces...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Changes lists the lines of two snapshots that are in one and not in the other, each with its
// section's name; "" if there are none.
func Changes(before, after string) string {
	was, is := countLines(before), countLines(after)
	var changed strings.Builder
	report := func(sign, text string, other map[string]int) {
		section := ""
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "# ") {
				section = strings.TrimSpace(line[2:])
			}
			if other[line]--; other[line] < 0 {
				fmt.Fprintf(&changed, "%s %s: %s\n", sign, section, strings.TrimRight(line, "\n"))
			}
		}
	}
	report("-", before, is)
	report("+", after, was)
	return changed.String()
}

// countLines counts the equal lines of a text.
func countLines(text string) map[string]int {
	lines := map[string]int{}
	for line := range strings.Lines(text) {
		lines[line]++
	}
	return lines
}
