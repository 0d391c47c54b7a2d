package ctl

import (
	"strings"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
)

// findingText is what people read of a finding: lines that begin with #. The last ones say what to
// do, the commands as they are typed.
func findingText(p *output.Printer, f diagnosis.Finding) string {
	const first, indent = "# ", "#   "
	var b strings.Builder
	b.WriteString(p.Wrap(first, indent, string(f.Code)+" "+f.Level.String()+": "+namedSummary(f)))
	for _, e := range f.Evidence {
		b.WriteString(p.Wrap(indent, indent, e))
	}
	toDo := indent + "what to do: "
	if f.Host != "" {
		toDo = indent + "what to do on " + f.Host + ": "
	}
	for _, m := range mends(f) {
		b.WriteString(p.Wrap(toDo, indent, m))
	}
	return b.String()
}

// mends is what to do about a finding.
func mends(f diagnosis.Finding) []string {
	if len(f.Mend) == 0 {
		return []string{"vxlanctl explain " + string(f.Code)}
	}
	return f.Mend
}

// namedSummary is the summary with the network, unless it names that itself.
func namedSummary(f diagnosis.Finding) string {
	if f.Network == "" || strings.Contains(f.Summary, "network "+f.Network) {
		return f.Summary
	}
	return "network " + f.Network + ": " + f.Summary
}

// levelColours are those of a level's word.
var levelColours = map[diagnosis.Level]output.Colour{
	diagnosis.OK: output.Green, diagnosis.Warning: output.Yellow,
	diagnosis.Failure: output.Red, diagnosis.Unknown: output.Yellow,
}

// countLevels says how many findings there are of each level, the worst first.
func countLevels(findings []diagnosis.Finding) string {
	var counts []string
	for _, c := range []struct {
		level diagnosis.Level
		noun  string
	}{{diagnosis.Failure, "failure"}, {diagnosis.Warning, "warning"}, {diagnosis.Unknown, "open question"}} {
		n := 0
		for _, f := range findings {
			if f.Level == c.level {
				n++
			}
		}
		if n > 0 {
			counts = append(counts, output.Count(n, c.noun))
		}
	}
	return strings.Join(counts, ", ")
}
