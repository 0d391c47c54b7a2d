package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// chart draws lines over time, with axes and a legend.
func (d *drawing) chart(p panel, all []series, b box) {
	plot := box{b.x + 56, b.y + 30, b.w - 68, b.h - 82}
	stacked := p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal"
	if stacked {
		stack(all)
	}
	low, high := limits(all)
	d.axes(plot, low, high, p.FieldConfig.Defaults.Unit)
	if len(all) == 0 {
		d.label(plot.x+plot.w/2, plot.y+plot.h/2, "middle", "no data")
		return
	}
	for i, s := range slices.Backward(all) { // what is stacked covers what is above it
		color := colors[i%len(colors)]
		for _, line := range s.lines(plot, low, high) {
			fill := "none"
			if stacked {
				fill, line = color, closed(line, plot.y+plot.h)
			}
			d.printf("<polyline points=\"%s\" fill=\"%s\" stroke=\"%s\" stroke-width=\"1.3\"/>\n", line, fill, color)
		}
	}
	d.legend(all, box{b.x + 8, plot.y + plot.h + 32, b.w - 12, 0})
}

// closed leads a line down to a height at both ends, so that it can be filled.
func closed(line string, bottom int) string {
	points := strings.Fields(line)
	first, _, _ := strings.Cut(points[0], ",")
	last, _, _ := strings.Cut(points[len(points)-1], ",")
	return fmt.Sprintf("%s,%d %s %s,%d", first, bottom, line, last, bottom)
}

// axes draws the values at the left and the time below.
func (d *drawing) axes(plot box, low, high float64, unit string) {
	for i := range gridLines + 1 {
		y := plot.y + plot.h - plot.h*i/gridLines
		d.printf("<path d=\"M%d %dh%d\" stroke=\"%s\"/>\n", plot.x, y, plot.w, frame)
		d.label(plot.x-5, y+4, "end", format(math.Abs(low+(high-low)*float64(i)/gridLines), unit))
	}
	for at := time.Duration(0); at <= d.length; at += time.Minute {
		x := plot.x + int(float64(plot.w)*float64(at)/float64(d.length))
		d.label(x, plot.y+plot.h+14, "middle", fmt.Sprintf("%d:%02d", at/time.Minute, at%time.Minute/time.Second))
	}
}

// gridLines divide a chart into so many parts.
const gridLines = 4

// limits are round numbers beyond the values, such that 0 is among them. Where some are below the
// line, it is in the middle.
func limits(all []series) (low, high float64) {
	for _, s := range all {
		for _, v := range s.values {
			low, high = min(low, v.v), max(high, v.v)
		}
	}
	if low < 0 {
		high = roundUp(max(high, -low)*2/gridLines) * gridLines / 2
		return -high, high
	}
	return 0, roundUp(high/gridLines) * gridLines
}

// roundUp returns the next number that people like to count by.
func roundUp(v float64) float64 {
	if v <= 0 {
		return 1.0 / gridLines
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 2.5, 5} {
		if n*unit >= v*(1-1e-9) {
			return n * unit
		}
	}
	return 10 * unit
}

// stack puts each series on those before it.
func stack(all []series) {
	sums := make(map[float64]float64)
	for _, s := range all {
		for i := range s.values {
			v := &s.values[i]
			sums[v.at] += v.v
			v.v = sums[v.at]
		}
	}
}

// maxBreak is how much time may be missing in a line.
const maxBreak = 3.0 / samples

// lines are the points of a series. It breaks where values are missing. A point between two of the
// same height is left out, which makes the file small.
func (s series) lines(plot box, low, high float64) (lines []string) {
	var points strings.Builder
	y := func(v float64) string {
		return fmt.Sprintf("%.1f", float64(plot.y+plot.h)-(v-low)/(high-low)*float64(plot.h))
	}
	for i, v := range s.values {
		first := i == 0 || v.at-s.values[i-1].at > maxBreak
		last := i == len(s.values)-1 || s.values[i+1].at-v.at > maxBreak
		if first || last || y(s.values[i-1].v) != y(v.v) || y(s.values[i+1].v) != y(v.v) {
			fmt.Fprintf(&points, "%.1f,%s ", float64(plot.x)+v.at*float64(plot.w), y(v.v))
		}
		if last {
			lines = append(lines, strings.TrimSpace(points.String()))
			points.Reset()
		}
	}
	return lines
}

// format prints a value with its unit, in three digits.
func format(v float64, unit string) string {
	switch unit {
	case "percentunit":
		return fmt.Sprintf("%.0f %%", 100*v)
	case "s":
		return formatSeconds(v)
	}
	suffix := map[string]string{"bps": "b/s", "pps": "/s", "reqps": "/s", "bytes": "B"}[unit]
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.3g M%s", v/1e6, suffix)
	case v >= 1e3:
		return fmt.Sprintf("%.3g k%s", v/1e3, suffix)
	}
	return strings.TrimSpace(fmt.Sprintf("%.3g %s", v, suffix))
}

func formatSeconds(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 1e-3:
		return fmt.Sprintf("%.0f µs", v*1e6)
	case v < 1:
		return fmt.Sprintf("%.3g ms", v*1e3)
	}
	return fmt.Sprintf("%.3g s", v)
}
