package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// The sizes of Grafana's grid, in pixels.
const (
	column, row = 44, 26
	gap         = 4
)

var colors = []string{"#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#c0d8ff", "#96d98d", "#ffb357"}

// drawing collects panels.
type drawing struct {
	strings.Builder
	height int
}

func (d *drawing) svg() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">
<rect width="100%%" height="100%%" fill="#111217"/>
%s</svg>
`, 24*column, d.height, d.String())
}

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(d, format, args...) }

func (d *drawing) text(x, y int, color, text string) {
	d.printf("<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", x, y, color, html.EscapeString(text))
}

// panel draws a panel with its title.
func (d *drawing) panel(p panel, all []series) {
	x, y := p.GridPos.X*column+gap, p.GridPos.Y*row+gap
	w, h := p.GridPos.W*column-2*gap, p.GridPos.H*row-2*gap
	d.height = max(d.height, y+h+gap)
	d.printf("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#181b1f\" stroke=\"#2c3235\"/>\n", x, y, w, h)
	switch p.Type {
	case "stat":
		d.stat(p, all, x, y, w, h)
	case "table":
		d.table(all, x, y)
	default:
		d.lines(p, all, x+52, y+28, w-62, h-58)
	}
	d.text(x+8, y+18, "#ccccdc", p.Title)
}

func (d *drawing) stat(p panel, all []series, x, y, w, h int) {
	value := 0.0
	if len(all) > 0 && len(all[0].values) > 0 {
		value = all[0].values[len(all[0].values)-1].v
	}
	color := "green"
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			color = step.Color
		}
	}
	fill := map[string]string{"green": "#37872d", "red": "#c4162a"}[color]
	d.printf("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n", x, y, w, h, fill)
	d.printf("<text x=\"%d\" y=\"%d\" fill=\"#fff\" font-size=\"36\" text-anchor=\"middle\">%s</text>\n", x+w/2, y+h/2+24, format(value, "short"))
}

func (d *drawing) table(all []series, x, y int) {
	for i, s := range all {
		var parts []string
		for _, name := range []string{"key", "role", "version"} {
			if s.labels[name] != "" {
				parts = append(parts, s.labels[name])
			}
		}
		if len(s.values) > 0 {
			d.text(x+8, y+40+i*18, "#ccccdc", fmt.Sprintf("%s: %s hosts", strings.Join(parts, ", "), format(s.values[len(s.values)-1].v, "short")))
		}
	}
	if len(all) == 0 {
		d.text(x+8, y+40, "#8e8e8e", "none")
	}
}

// lines draws series into a box, with a legend below it.
func (d *drawing) lines(p panel, all []series, x, y, w, h int) {
	if p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal" {
		stack(all)
	}
	low, high := 0.0, 0.0
	for _, s := range all {
		for _, v := range s.values {
			low, high = min(low, v.v), max(high, v.v)
		}
	}
	if low < 0 {
		high = max(high, -low)
		low = -high // so that nothing is in the middle
	}
	if high == low {
		high = low + 1
	}
	for i := range 5 {
		value := low + (high-low)*float64(i)/4
		at := y + h - h*i/4
		d.printf("<path d=\"M%d %dh%d\" stroke=\"#2c3235\"/>\n", x, at, w)
		d.printf("<text x=\"%d\" y=\"%d\" fill=\"#8e8e8e\" font-size=\"10\" text-anchor=\"end\">%s</text>\n", x-4, at+4, format(math.Abs(value), p.FieldConfig.Defaults.Unit))
	}
	legend := x - 44
	for i, s := range all {
		color := colors[i%len(colors)]
		var points strings.Builder
		for _, v := range s.values {
			fmt.Fprintf(&points, "%.1f,%.1f ", float64(x)+v.at*float64(w), float64(y+h)-(v.v-low)/(high-low)*float64(h))
		}
		d.printf("<polyline points=\"%s\" fill=\"none\" stroke=\"%s\"/>\n", points.String(), color)
		if width := 7*len(s.name) + 14; legend+width < x+w {
			d.text(legend, y+h+20, color, "— "+s.name)
			legend += width + 8
		}
	}
	if len(all) == 0 {
		d.text(x+w/2-24, y+h/2, "#8e8e8e", "no data")
	}
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

// format prints a value with its unit, in three digits.
func format(v float64, unit string) string {
	switch unit {
	case "percentunit":
		return fmt.Sprintf("%.0f %%", 100*v)
	case "s":
		switch {
		case v == 0:
			return "0"
		case v < 1e-3:
			return fmt.Sprintf("%.0f µs", v*1e6)
		case v < 1:
			return fmt.Sprintf("%.1f ms", v*1e3)
		}
		return fmt.Sprintf("%.0f s", v)
	}
	suffix := map[string]string{"bps": "b/s", "pps": "/s", "reqps": "/s", "bytes": "B"}[unit]
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.1f M%s", v/1e6, suffix)
	case v >= 1e3:
		return fmt.Sprintf("%.1f k%s", v/1e3, suffix)
	}
	return strings.TrimSpace(fmt.Sprintf("%.3g %s", v, suffix))
}
