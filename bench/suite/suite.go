package suite

import (
	"context"
	"fmt"
	"io"
	"time"

	"vxlan-driver/bench/report"
	"vxlan-driver/lab"
)

// Suite is what the sections need to measure.
type Suite struct {
	Log    io.Writer
	Quick  bool   // fewer rounds and rows, for the bounds only
	Times  int    // how many times as many rounds, 0 for 1
	Plugin string // path of the plugin
	Agent  string // path of the agent
	Probe  string // path of the program that runs in the hosts
	Module string // directory of this module, for the Go benchmarks
}

// Result is what a section measured.
type Result struct {
	Tables      []report.Table
	Plots       []report.Figure
	Comparisons []Comparison
}

// Section is a part of the suite that can be run alone.
type Section struct {
	Name, Title string
	Run         func(*Suite, context.Context) (Result, error)
}

// Sections are all of them, in the order of the report.
var Sections = []Section{
	{"start", "Container start and stop", (*Suite).measureStarts},
	{"traffic", "Throughput and latency", (*Suite).measureTraffic},
	{"scale", "Scale", (*Suite).measureScale},
	{"plugin", "The plugin process", (*Suite).measurePlugin},
	{"agent", "The agent", (*Suite).measureAgent},
	{"encryption", "Encryption", (*Suite).measureEncryption},
}

func (s *Suite) logf(format string, args ...any) {
	fmt.Fprintf(s.Log, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// roundCount is how often everything is measured, without the warm-up.
func (s *Suite) roundCount(full, quick int) int {
	if s.Quick {
		full = quick
	}
	return full * max(s.Times, 1)
}

// startLab starts hosts with the plugin, the probe and further programs.
func (s *Suite) startLab(ctx context.Context, suite string, hosts int, binaries ...string) (*lab.Lab, error) {
	if err := lab.Sweep(ctx); err != nil {
		return nil, err
	}
	tree, err := lab.Prepare(ctx, suite, s.Log)
	if err != nil {
		return nil, err
	}
	return lab.Start(ctx, lab.Config{
		Tree: tree, Hosts: hosts, Outside: true, Plugin: s.Plugin, Binaries: append(binaries, s.Probe),
	})
}
