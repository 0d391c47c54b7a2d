package network

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with what the user typed.
type Problem struct {
	What  string // the option or flag, as the user typed it
	Value string
	Want  string // what is wrong, or what would be right
}

// Error names the option, the value and what would be right.
func (p Problem) Error() string {
	if p.Value == "" {
		return fmt.Sprintf("%s: %s", p.What, p.Want)
	}
	return fmt.Sprintf("%s %q: %s", p.What, p.Value, p.Want)
}

// Problems is everything that is wrong with one command.
type Problems []Problem

// Error prints a single problem on the same line, several on a line each.
func (ps Problems) Error() string {
	if len(ps) == 1 {
		return ps[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d problems", len(ps))
	for _, p := range ps {
		b.WriteString("\n  " + p.Error())
	}
	return b.String()
}

// Add notes a problem; want is a format string.
func (ps *Problems) Add(what, value, want string, args ...any) {
	*ps = append(*ps, Problem{What: what, Value: value, Want: fmt.Sprintf(want, args...)})
}

// Err returns the problems as an error, nil if there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// nearest returns the name that differs least from s, or "" if none is near
// enough to be what was meant.
func nearest(s string, names []string) string {
	best, bestDistance := "", 1+len(s)/3
	for _, name := range names {
		if d := distance(s, name); d <= bestDistance && (best == "" || d < bestDistance) {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance counts the single-byte insertions, deletions and substitutions that
// lead from a to b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// mention tells whether a problem with what has been noted.
func (ps Problems) mention(what string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.What == what })
}
