package diagnosis

import (
	"cmp"
	"slices"
)

// Level is how bad something is. The values are the exit codes of monitoring plugins.
type Level int

// The levels.
const (
	OK Level = iota
	Warning
	Failure
	Unknown // it could not be found out
)

// String is the level's word.
func (l Level) String() string {
	return [...]string{"ok", "warning", "failure", "unknown"}[l]
}

// MarshalText makes JSON show the word.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the word that another agent sent.
func (l *Level) UnmarshalText(text []byte) error {
	for known := OK; known <= Unknown; known++ {
		if known.String() == string(text) {
			*l = known
			return nil
		}
	}
	*l = Unknown // of a newer version
	return nil
}

// severity orders levels: what could not be found out may be a failure, and is not one for sure.
func (l Level) severity() int { return [...]int{OK: 0, Unknown: 1, Warning: 2, Failure: 3}[l] }

// Compare orders levels, the worst last. What could not be found out is better than what is wrong.
func (l Level) Compare(other Level) int { return cmp.Compare(l.severity(), other.severity()) }

// Code names a kind of fault. It never changes its meaning.
type Code string

// Finding is a fault that was found.
type Finding struct {
	Code    Code   `json:"code"`
	Level   Level  `json:"level"`
	Host    string `json:"host,omitempty"`    // where the cause is, as far as that is known
	Network string `json:"network,omitempty"` // by name; empty: it concerns the whole host
	// Summary is one line: what is wrong, on what.
	Summary string `json:"summary"`
	// Evidence is what was observed, a line each.
	Evidence []string `json:"evidence,omitempty"`
	// Mend is what to do: commands as they are typed, or a sentence where there is none.
	Mend []string `json:"mend,omitempty"`
}

// Worst returns the worst level, by which a command's exit code is chosen.
func Worst(findings []Finding) Level {
	worst := OK
	for _, f := range findings {
		if f.Level.severity() > worst.severity() {
			worst = f.Level
		}
	}
	return worst
}

// Sort puts causes before what follows from them: the worst first, then by code. Codes are numbered
// in that order, from the host's kernel up to names.
func Sort(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(b.Level.severity(), a.Level.severity()), cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Host, b.Host), cmp.Compare(a.Network, b.Network), cmp.Compare(a.Summary, b.Summary),
		)
	})
}
