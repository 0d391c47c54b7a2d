package main

import (
	"fmt"
	"html"
	"strings"
	"time"
	"unicode/utf8"
)

// The sizes of Grafana's grid, in pixels.
const (
	column, row = 44, 26
	gap         = 4
)

// The colours of Grafana's dark theme.
const (
	back, paper, frame = "#111217", "#181b1f", "#34393f"
	bright, soft       = "#e3e4ec", "#a4a8b0"
)

var colors = []string{"#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#c0d8ff",
	"#96d98d", "#ffb357"}

// drawing collects panels.
type drawing struct {
	strings.Builder
	height int
	length time.Duration // the time that is shown
}

// box is where something is drawn.
type box struct{ x, y, w, h int }

func (d *drawing) svg() string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img">
<title>panels of the dashboard</title>
<rect width="100%%" height="100%%" fill="%s"/>
%s</svg>
`, 24*column, d.height, back, d.String())
}

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(d, format, args...) }

func (d *drawing) text(x, y int, color, text string) {
	d.printf("<text x=\"%d\" y=\"%d\" fill=\"%s\">%s</text>\n", x, y, color, html.EscapeString(text))
}

// label is a small text. Anchor is start, middle or end.
func (d *drawing) label(x, y int, anchor, text string) {
	d.printf("<text x=\"%d\" y=\"%d\" fill=\"%s\" font-size=\"10\" text-anchor=\"%s\">%s</text>\n",
		x, y, soft, anchor, html.EscapeString(text))
}

// panel draws a panel with its title.
func (d *drawing) panel(p panel, all []series) {
	b := box{p.GridPos.X*column + gap, p.GridPos.Y*row + gap, p.GridPos.W*column - 2*gap, p.GridPos.H*row - 2*gap}
	d.height = max(d.height, b.y+b.h+gap)
	d.printf("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\" stroke=\"%s\"/>\n",
		b.x, b.y, b.w, b.h, paper, frame)
	switch p.Type {
	case "stat":
		d.stat(p, all, b)
	case "table":
		d.table(all, b)
	default:
		d.chart(p, all, b)
	}
	d.text(b.x+8, b.y+18, bright, p.Title)
}

// stat is one number on a colour that judges it.
func (d *drawing) stat(p panel, all []series, b box) {
	value, text := 0.0, p.FieldConfig.Defaults.NoValue
	if len(all) > 0 && len(all[0].values) > 0 {
		value = all[0].values[len(all[0].values)-1].v
		text = format(value, p.FieldConfig.Defaults.Unit)
	}
	color := "green"
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			color = step.Color
		}
	}
	fill := map[string]string{"green": "#2f7527", "red": "#b3152a"}[color]
	d.printf("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"/>\n", b.x, b.y, b.w, b.h, fill)
	d.printf("<text x=\"%d\" y=\"%d\" fill=\"#fff\" font-size=\"36\" text-anchor=\"middle\">%s</text>\n",
		b.x+b.w/2, b.y+b.h/2+24, html.EscapeString(text))
}

// table has a line a series.
func (d *drawing) table(all []series, b box) {
	for i, s := range all {
		var parts []string
		for _, name := range []string{"key", "role", "version"} {
			if s.labels[name] != "" {
				parts = append(parts, s.labels[name])
			}
		}
		if len(s.values) > 0 {
			d.text(b.x+8, b.y+40+i*18, bright, fmt.Sprintf("%s: %s hosts", strings.Join(parts, ", "),
				format(s.values[len(s.values)-1].v, "short")))
		}
	}
	if len(all) == 0 {
		d.text(b.x+8, b.y+40, soft, "none")
	}
}

// legend names the lines, as far as there is room, and returns how many rows that takes.
func (d *drawing) legend(all []series, b box) (rows int) {
	const maxRows, letter, dash, space = 2, 5.6, 16, 4
	const moreWidth = 70 // of what says that there are more
	x, y := b.x, b.y
	for i, s := range all {
		width := int(letter*float64(utf8.RuneCountInString(s.name))) + dash
		room := b.x + b.w
		if rows == maxRows-1 && i < len(all)-1 {
			room -= moreWidth
		}
		if x > b.x && x+width > room {
			x, y = b.x, y+14
			if rows++; rows == maxRows {
				d.label(b.x+b.w, y-14, "end", fmt.Sprintf("and %d more", len(all)-i))
				return rows
			}
		}
		d.printf("<path d=\"M%d %dh10\" stroke=\"%s\" stroke-width=\"2\"/>\n", x, y-4, colors[i%len(colors)])
		d.label(x+14, y, "start", s.name)
		x += width + space
	}
	return rows + 1
}
