package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"vxlan-driver/bench/calls"
	"vxlan-driver/bench/report"
	"vxlan-driver/bench/stats"
)

// Bounds of the plugin, in bytes: what a container start can spare.
const (
	sizeTarget = 5_000_000
	peakTarget = 16_000_000
)

const pluginInHost = "/usr/local/libexec/netavark/vxlan"

// measurePlugin measures the process itself: its start against a Go program that does nothing, its
// memory, its size.
func (s *Suite) measurePlugin(ctx context.Context) (r Result, err error) {
	empty, err := buildEmpty(ctx)
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(filepath.Dir(empty))
	l, err := s.startLab(ctx, "", 1, empty)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	sc := &scenario{driver: driverVXLAN, otherContainers: 1, remotes: 3, noDNS: true, host: l.Hosts()[0]}
	if err := sc.prepareHost(ctx, l.Host("outside")); err != nil {
		return r, err
	}
	starts, err := s.startPrograms(sc.client, []string{pluginInHost, "info"}, []string{"/usr/local/bin/empty"})
	if err != nil {
		return r, err
	}
	peaks, err := s.measurePeaks(sc.client)
	if err != nil {
		return r, err
	}
	return s.pluginResult(starts, peaks)
}

// buildEmpty builds a Go program that does nothing, the least that a plugin in Go can take.
func buildEmpty(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "vxlan-bench")
	if err != nil {
		return "", err
	}
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "empty")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build empty program: %w: %s", err, out)
	}
	return binary, nil
}

// startPrograms runs programs in turns and returns each one's seconds.
func (s *Suite) startPrograms(c *calls.Client, programs ...[]string) ([][]float64, error) {
	const warmUp = 5
	times := make([][]float64, len(programs))
	for round := range s.roundCount(100, 40) + warmUp {
		for i, argv := range programs {
			a, err := c.Do(calls.Order{Exec: &calls.Exec{Argv: argv}})
			if err != nil {
				return nil, err
			}
			if round >= warmUp {
				times[i] = append(times[i], a.Exec.Wall.Seconds())
			}
		}
	}
	return times, nil
}

func (s *Suite) measurePeaks(c *calls.Client) (bytes []float64, err error) {
	for range s.roundCount(7, 3) {
		a, err := c.Do(calls.Order{Peak: &calls.Peak{Plugin: pluginInHost}})
		if err != nil {
			return nil, err
		}
		bytes = append(bytes, float64(a.Peak))
	}
	return bytes, nil
}

func (s *Suite) pluginResult(starts [][]float64, peaks []float64) (Result, error) {
	info, err := os.Stat(s.Plugin)
	if err != nil {
		return Result{}, err
	}
	// A constant, compared as the rest is.
	constant := func(v float64) []float64 { return []float64{v} }
	start := Comparison{What: "start and end (vxlan info)", Than: "empty Go program", A: starts[0], B: starts[1],
		Unit: milliseconds, Quick: atMost(3)}
	bounds := []Comparison{
		{What: "size of the program", Than: "bound", A: constant(float64(info.Size())), B: constant(sizeTarget),
			Unit: megabytes, Target: atMost(1), Quick: atMost(1)},
		{What: "most memory resident in a setup", Than: "bound", A: constant(stats.Summarize(peaks).Median),
			B: constant(peakTarget), Unit: megabytes, Target: atMost(1), Quick: atMost(1)},
	}
	all := append([]Comparison{start}, bounds...)
	return Result{Tables: []report.Table{compareTable("", all)}, Comparisons: all}, nil
}
