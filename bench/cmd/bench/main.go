// Command bench measures the driver against what a user would pick instead, and writes tables and
// plots.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"vxlan-driver/bench/report"
	"vxlan-driver/bench/suite"
)

const usage = `Usage: bench [FLAGS], as root, in a checkout of the project in which "make build" was run

  -section LIST   start,traffic,scale,plugin,agent,encryption or some of them;
                  each takes less than six minutes (default all)
  -out DIR        where tables (SECTION.md, report.md) and plots (.svg) go; report.md has the tables of earlier runs
                  too (default bench/out)
  -times N        N times as many rounds: it takes nearly N times as long, and intervals narrow with the root of N
                  (1 to 20, default 1)
  -quick          few rounds of the most important rows; write nothing, and fail if a ratio is beyond its bound
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := runBench(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func runBench(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	sections := flags.String("section", "start,traffic,scale,plugin,agent,encryption", "")
	out := flags.String("out", "bench/out", "")
	quick := flags.Bool("quick", false, "")
	times := flags.Int("times", 1, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	picked, err := pickSections(*sections)
	if err != nil {
		return err
	}
	if *times < 1 || *times > 20 {
		return fmt.Errorf("-times %d: must be 1 to 20\n%s", *times, usage)
	}
	s := &suite.Suite{Log: os.Stderr, Quick: *quick, Times: *times, Plugin: "bin/vxlan", Agent: "bin/vxland",
		Probe: "bin/probe", Module: "."}
	env, err := s.Environment(ctx)
	if err != nil {
		return err
	}
	fmt.Println(env.Markdown())
	if *quick {
		return runQuick(ctx, s, picked)
	}
	return runAll(ctx, s, picked, env, *out)
}

// pickSections finds sections by name.
func pickSections(names string) (picked []suite.Section, err error) {
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(suite.Sections, func(s suite.Section) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown section %q\n%s", name, usage)
		}
		picked = append(picked, suite.Sections[i])
	}
	return picked, nil
}

func measureSection(ctx context.Context, s *suite.Suite, section suite.Section) (suite.Result, report.Section, error) {
	r, err := section.Run(s, ctx)
	if err != nil {
		return r, report.Section{}, fmt.Errorf("measure %s: %w", section.Name, err)
	}
	rep := report.Section{Name: section.Name, Title: section.Title, Tables: r.Tables, Plots: r.Plots}
	fmt.Println(rep.Markdown())
	return r, rep, nil
}

func runQuick(ctx context.Context, s *suite.Suite, sections []suite.Section) error {
	var beyond []string
	for _, section := range sections {
		r, _, err := measureSection(ctx, s, section)
		if err != nil {
			return err
		}
		beyond = append(beyond, suite.Beyond(r.Comparisons)...)
	}
	if len(beyond) > 0 {
		return errors.New("beyond the bounds:\n" + strings.Join(beyond, "\n"))
	}
	return nil
}

// runAll writes each section as soon as it is measured, so an interrupted run can be continued.
func runAll(ctx context.Context, s *suite.Suite, sections []suite.Section, env report.Table, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, section := range sections {
		_, rep, err := measureSection(ctx, s, section)
		if err != nil {
			return err
		}
		if err := writeSection(dir, rep, env); err != nil {
			return err
		}
	}
	return writeReport(dir)
}

// writeSection writes the environment with each section, since sections may be of different days.
func writeSection(dir string, rep report.Section, env report.Table) error {
	text := rep.Markdown() + "\nMeasured on:\n\n" + env.Markdown()
	err := os.WriteFile(filepath.Join(dir, rep.Name+".md"), []byte(text), 0o644)
	for _, p := range rep.Plots {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, p.FileName()+".svg"), []byte(p.SVG()), 0o644))
	}
	return err
}

func writeReport(dir string) error {
	report := "# Measurements\n\nMedians; in brackets the interval that holds the true median with 95 % confidence. " +
		"Ratios are medians of the ratios of neighbouring runs.\n"
	for _, section := range suite.Sections {
		text, err := os.ReadFile(filepath.Join(dir, section.Name+".md"))
		if errors.Is(err, os.ErrNotExist) {
			text = []byte("## " + section.Title + "\n\nNot measured yet.\n")
		} else if err != nil {
			return err
		}
		report += "\n" + string(text)
	}
	return os.WriteFile(filepath.Join(dir, "report.md"), []byte(report), 0o644)
}
