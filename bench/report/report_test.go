package report

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestMarkdown(t *testing.T) {
	s := Section{
		Title: "Start",
		Tables: []Table{{
			Title: "Times", Head: []string{"what", "µs"}, Rows: [][]string{{"setup", "7"}, {"ß", "1,000"}},
			Notes: []string{"Quiet machine."},
		}, {Notes: []string{"No table."}}},
		Plots: []Figure{Plot{Name: "start", Title: "Growth"}},
	}
	want := `## Start

### Times

| what  | µs    |
| ----- | ----- |
| setup | 7     |
| ß     | 1,000 |

Quiet machine.


No table.

![Growth](start.svg)
`
	if got := s.Markdown(); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestSVGIsWellFormed(t *testing.T) {
	for name, p := range map[string]Figure{
		"empty":     Plot{},
		"no bars":   Bars{},
		"bars":      Bars{Names: []string{"a < b"}, Groups: []Group{{"us & them", []Point{{0, 0.5, 0.4, 0.6}}}}},
		"one point": Plot{Series: []Series{{Points: []Point{{5, 1, 1, 1}}}}},
		"logarithmic": Plot{Title: "a < b", LogX: true, Series: []Series{
			{Name: "us & them", Points: []Point{{1, 1, 0.5, 2}, {500, 3, 3, 3}}},
		}},
	} {
		out := p.SVG()
		if strings.Contains(out, "NaN") || strings.Contains(out, "Inf") {
			t.Errorf("%s: a place that is none: %s", name, out)
		}
		for d := xml.NewDecoder(strings.NewReader(out)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, out)
			}
		}
	}
}

func TestAxis(t *testing.T) {
	linear := axis{max: 10, from: 100, to: 200}
	if got := linear.position(2.5); got != 125 {
		t.Errorf("2.5 of 10 is at %v", got)
	}
	log := axis{min: 1, max: 100, from: 100, to: 200, log: true}
	if got := log.position(10); got != 150 {
		t.Errorf("10 between 1 and 100 is at %v", got)
	}
	for span, want := range map[float64][]float64{
		10:  {0, 2, 4, 6, 8, 10},
		3:   {0, 1, 2, 3},
		40:  {0, 10, 20, 30, 40},
		700: {0, 200, 400, 600},
	} {
		if got := (axis{max: span}).tickValues(); !slices.Equal(got, want) {
			t.Errorf("ticks up to %v: %v, want %v", span, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	tick := 0.2
	for v, want := range map[float64]string{0: "0", 0.5: "0.5", 3 * tick: "0.6", 20: "20", 1000: "1,000", 100000: "100,000", 1234567: "1,234,567"} {
		if got := formatNumber(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
