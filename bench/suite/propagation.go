package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"time"
)

// simulatedLine is one line of the simulation's table.
var simulatedLine = regexp.MustCompile(`(?m)^\s+sim_test\.go:\d+:\s+(\d+)\s+(quiet|churn|a restarted host)\s+(\S+)\s+(\S+)\s+(\S+)$`)

// simulatePropagation runs the simulation of `make sim` and returns its rows.
func (s *Suite) simulatePropagation(ctx context.Context) ([][]string, error) {
	s.logf("agent: simulating")
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "-run", "^TestPropagation$",
		"./internal/cluster/gossip")
	cmd.Dir = s.Module
	cmd.Env = append(os.Environ(), fmt.Sprintf("SIM_ROUNDS=%d", s.roundCount(40, 10)))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("run %v: %w: %s", cmd.Args, err, out)
	}
	rows := parseSimulation(string(out))
	if len(rows) == 0 {
		return nil, fmt.Errorf("run %v: no figures in %s", cmd.Args, out)
	}
	return rows, nil
}

func parseSimulation(out string) (rows [][]string) {
	for _, m := range simulatedLine.FindAllStringSubmatch(out, -1) {
		rows = append(rows, []string{m[1], "simulated, " + m[2], m[3], m[4], m[5]})
	}
	return rows
}

// quantiles prints the median, the 95th percentile and the maximum of seconds.
func quantiles(seconds []float64) []string {
	slices.Sort(seconds)
	var cells []string
	for _, p := range []float64{0.50, 0.95, 1} {
		at := seconds[int(p*float64(len(seconds)-1))]
		cells = append(cells, time.Duration(at*1e9).Round(100*time.Microsecond).String())
	}
	return cells
}
