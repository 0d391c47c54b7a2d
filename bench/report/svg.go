package report

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Plot shows how something grows. Both axes begin at zero unless X is logarithmic.
type Plot struct {
	Name   string // of its file, without .svg
	Title  string
	X      string // what the axis shows
	Y      string // the unit
	LogX   bool   // for values that double rather than add up, all above zero
	Series []Series
}

// Series is one line of a plot.
type Series struct {
	Name   string
	Points []Point
}

// Point has the interval that its value may lie in as well; Low and High are equal to Y where there is none.
type Point struct{ X, Y, Low, High float64 }

// Size of a plot and of its frame, in pixels: two plots fit side by side on a page.
const (
	plotWidth, plotHeight   = 640, 380
	left, right, top, below = 70, 600, 60, 320
)

// colours can be told apart by the colour blind (Okabe and Ito), and on white and on black.
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"}

// SVG draws the plot.
func (p Plot) SVG() string {
	x, y := p.axes()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n",
		plotWidth, plotHeight, plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, plotHeight)
	text(&b, left, 24, "start", 16, fmt.Sprintf("%s (%s)", p.Title, p.Y))
	for _, t := range y.ticks() {
		line(&b, left, y.at(t), right, y.at(t), "#ddd")
		text(&b, left-8, y.at(t)+4, "end", 13, number(t))
	}
	for _, t := range x.ticks() {
		line(&b, x.at(t), below, x.at(t), below+5, "#333")
		text(&b, x.at(t), below+20, "middle", 13, number(t))
	}
	line(&b, left, below, right, below, "#333")
	text(&b, (left+right)/2, below+45, "middle", 13, p.X)
	p.drawLegend(&b)
	for i, s := range p.Series {
		s.draw(&b, x, y, colours[i%len(colours)])
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// drawLegend writes the names on one line, at the right above the frame.
func (p Plot) drawLegend(b *strings.Builder) {
	at := float64(right)
	for i := len(p.Series) - 1; i >= 0; i-- {
		name := p.Series[i].Name
		text(b, at, top-12, "end", 13, name)
		at -= 7.2 * float64(width(name)) // about a character's width at this size
		line(b, at-24, top-16, at-6, top-16, colours[i%len(colours)])
		at -= 40
	}
}

func (s Series) draw(b *strings.Builder, x, y axis, colour string) {
	var path []string
	for _, p := range s.Points {
		path = append(path, fmt.Sprintf("%.1f,%.1f", x.at(p.X), y.at(p.Y)))
		line(b, x.at(p.X), y.at(p.Low), x.at(p.X), y.at(p.High), colour)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x.at(p.X), y.at(p.Y), colour)
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(path, " "), colour)
}

func text(b *strings.Builder, x, y float64, anchor string, size int, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d">%s</text>`+"\n", x, y, anchor, size, html.EscapeString(s))
}

func line(b *strings.Builder, x1, y1, x2, y2 float64, colour string) {
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="1.5"/>`+"\n", x1, y1, x2, y2, colour)
}

// number writes a tick: 0.5, 20, 1,000.
func number(v float64) string {
	if math.Abs(v) < 1000 {
		return fmt.Sprintf("%g", v)
	}
	return fmt.Sprintf("%s,%03d", number(math.Floor(v/1000)), int(math.Mod(v, 1000)))
}
