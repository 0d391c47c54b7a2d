package suite

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/bench/gobench"
	"vxlan-driver/bench/report"
	"vxlan-driver/bench/stats"
)

// goBenchmarks live beside what they measure. The largest numbers run once: they take half a
// minute.
var goBenchmarks = []struct {
	pkg, pattern string
	count        int
}{
	{"./internal/plan", "Forward", 5},
	{"./internal/reconcile", "Reconcile/entries=(1000|10000)$", 3},
	{"./internal/reconcile", "Reconcile/entries=100000$", 1},
}

// measureScale runs Go benchmarks of planning and reconciling many entries.
func (s *Suite) measureScale(ctx context.Context) (Result, error) {
	values := map[string]map[string][]float64{} // benchmark → unit → runs
	for _, b := range goBenchmarks {
		s.logf("scale: %s %s", b.pkg, b.pattern)
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", b.pattern, "-benchtime", "1x", "-count",
			strconv.Itoa(b.count), b.pkg)
		cmd.Dir = s.Module
		out, err := cmd.CombinedOutput()
		if err != nil {
			return Result{}, fmt.Errorf("run %v: %w: %s", cmd.Args, err, out)
		}
		results, err := gobench.Parse(string(out))
		if err != nil {
			return Result{}, err
		}
		collectResults(values, results)
	}
	return scaleResult(values), nil
}

func collectResults(values map[string]map[string][]float64, results []gobench.Result) {
	for _, r := range results {
		if values[r.Name] == nil {
			values[r.Name] = map[string][]float64{}
		}
		for unit, v := range r.Values {
			values[r.Name][unit] = append(values[r.Name][unit], v)
		}
	}
}

// scaleRows are the steps of the table: what a unit of a benchmark's line means.
var scaleRows = []struct{ bench, unit, what string }{
	{"Forward", "ns/op", "plan"},
	{"Forward", "B/op", "plan, memory allocated"},
	{"Reconcile", "create-ms", "reconcile from nothing"},
	{"Reconcile", "unchanged-ms", "reconcile, all in place"},
	{"Reconcile", "resync-ms", "resync, half of them gone"},
	{"Reconcile", "entries/s", "entries programmed a second"},
	{"Reconcile", "B/op", "reconcile, memory allocated by all four runs"},
}

var scaleSizes = []int{1_000, 10_000, 100_000}

func scaleResult(values map[string]map[string][]float64) Result {
	t := report.Table{Head: []string{"remote containers", "1,000", "10,000", "100,000"}}
	p := report.Plot{Name: "scale", Title: "Remote containers of one network", X: "containers", Y: "ms", LogX: true}
	for _, row := range scaleRows {
		line := report.Series{Name: strings.TrimLeft(strings.TrimPrefix(row.what, "reconcile"), " ,")}
		cells := []string{row.what}
		for _, size := range scaleSizes {
			v := values[fmt.Sprintf("%s/entries=%d", row.bench, size)][row.unit]
			cells = append(cells, goCell(row.unit, v))
			if len(v) > 0 {
				line.Points = append(line.Points, plotPoint(float64(size), v, Unit{Scale: 1}))
			}
		}
		t.Rows = append(t.Rows, cells)
		if strings.HasSuffix(row.unit, "-ms") {
			p.Series = append(p.Series, line)
		}
	}
	t.Notes = []string{"Go benchmarks in a namespace of the real kernel, the median of few runs. " +
		"A container has three entries: in the VXLAN device's FDB, in the bridge's, and among the bridge's neighbours."}
	return Result{Tables: []report.Table{t}, Plots: []report.Figure{p}}
}

func goCell(unit string, values []float64) string {
	if len(values) == 0 {
		return "–"
	}
	v := stats.Summarize(slices.Clone(values)).Median
	switch unit {
	case "ns/op":
		return fmt.Sprintf("%.3g ms", v/1e6)
	case "B/op":
		return fmt.Sprintf("%.3g MB", v/1e6)
	case "entries/s":
		return fmt.Sprintf("%.3g k", v/1e3)
	}
	return fmt.Sprintf("%.4g ms", v)
}
