package suite

import (
	"fmt"
	"strings"

	"vxlan-driver/bench/report"
	"vxlan-driver/bench/stats"
)

// Comparison is two series that were measured in turns.
type Comparison struct {
	What   string
	Than   string // what B is
	A, B   []float64
	Unit   Unit
	Target *stats.Bound // none: the ratio is for information
	Quick  *stats.Bound // what bench-quick fails beyond: the target and room for a noisy machine
}

// Ratio is A to B, pair by pair.
func (c Comparison) Ratio() stats.Summary { return stats.Summarize(stats.Ratios(c.A, c.B)) }

// Unit prints values. Values themselves are seconds, bits, packets and so on.
type Unit struct {
	Name  string
	Scale float64 // how many of what is measured make one
}

// The units in use.
var (
	milliseconds = Unit{"ms", 1e-3}
	microseconds = Unit{"µs", 1e-6}
	gigabits     = Unit{"Gb/s", 1e9}
	thousandEach = Unit{"k/s", 1e3}
	megabytes    = Unit{"MB", 1e6}
	percent      = Unit{"% of a core", 0.01}
)

func (u Unit) formatAll(s stats.Summary) string {
	return fmt.Sprintf("%.3g [%.3g–%.3g] %s", s.Median/u.Scale, s.Low/u.Scale, s.High/u.Scale, u.Name)
}

// noisyAbove is how wide the interval of a ratio may be, as a part of it, without a remark: more
// than that, and a third run gives another figure in the first digit.
const noisyAbove = 0.25

// compareHead belongs to the rows of Comparison.row.
var compareHead = []string{"what", "vxlan", "against", "", "ratio", "target", "result"}

func (c Comparison) row() []string {
	ratio := c.Ratio()
	target, result := "", ""
	if c.Target != nil {
		target, result = boundText(*c.Target), string(c.Target.Judge(ratio))
	}
	if ratio.Spread() > noisyAbove && !strings.Contains(result, "noise") {
		result = strings.TrimPrefix(result+"; noisy", "; ")
	}
	return []string{
		c.What, c.Unit.formatAll(stats.Summarize(c.A)), c.Than, c.Unit.formatAll(stats.Summarize(c.B)),
		fmt.Sprintf("%.2f [%.2f–%.2f]", ratio.Median, ratio.Low, ratio.High), target, result,
	}
}

func boundText(b stats.Bound) string {
	if b.AtLeast {
		return fmt.Sprintf("≥ %g", b.Limit)
	}
	return fmt.Sprintf("≤ %g", b.Limit)
}

func compareTable(title string, all []Comparison, notes ...string) report.Table {
	t := report.Table{Title: title, Head: compareHead, Notes: notes}
	for _, c := range all {
		t.Rows = append(t.Rows, c.row())
	}
	return t
}

// Beyond lists the comparisons that are beyond their bound for bench-quick, beyond doubt.
func Beyond(all []Comparison) []string {
	var lines []string
	for _, c := range all {
		if c.Quick != nil && c.Quick.Judge(c.Ratio()) == stats.Missed {
			lines = append(lines, fmt.Sprintf("%s: ratio %.2f to %s, bound %s", c.What, c.Ratio().Median, c.Than,
				boundText(*c.Quick)))
		}
	}
	return lines
}

func atMost(limit float64) *stats.Bound  { return &stats.Bound{Limit: limit} }
func atLeast(limit float64) *stats.Bound { return &stats.Bound{Limit: limit, AtLeast: true} }

// plotPoint returns a series of values as a point of a plot.
func plotPoint(x float64, values []float64, u Unit) report.Point {
	s := stats.Summarize(values)
	return report.Point{X: x, Y: s.Median / u.Scale, Low: s.Low / u.Scale, High: s.High / u.Scale}
}
