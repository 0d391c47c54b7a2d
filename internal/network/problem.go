package network

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration or the host.
type Problem struct {
	What  string // the option or flag, as the user typed it
	Value string
	Want  string // what is wrong, or what would be valid
	// Absent says that the host only lacks something that may still come, as while it boots.
	Absent bool
}

// Error names the option, its value and what is wrong.
func (p Problem) Error() string {
	if p.Value == "" {
		return fmt.Sprintf("%s: %s", p.What, p.Want)
	}
	return fmt.Sprintf("%s %q: %s", p.What, p.Value, p.Want)
}

// Problems are all problems of one command.
type Problems []Problem

// Error returns a single problem as one line, and several with a line each.
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

// Add adds a problem; want is a format string. Inlined in some ninety places it would be 34 kB of the
// plugin, with AddAbsent.
//
//go:noinline
func (ps *Problems) Add(what, value, want string, args ...any) {
	*ps = append(*ps, Problem{What: what, Value: value, Want: fmt.Sprintf(want, args...)})
}

// AddAbsent is Add for what the host lacks and may still get.
//
//go:noinline
func (ps *Problems) AddAbsent(what, value, want string, args ...any) {
	ps.Add(what, value, want, args...)
	(*ps)[len(*ps)-1].Absent = true
}

// Err returns the problems as an error, nil if there are none.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// haveProblemWith tells whether there is a problem with what already.
func (ps Problems) haveProblemWith(what string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.What == what })
}

// haveProblem tells whether there is a problem with that value of what already.
func (ps Problems) haveProblem(what, value string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.What == what && p.Value == value })
}
