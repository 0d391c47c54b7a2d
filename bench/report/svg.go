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

// Point has the interval that its value may lie in as well; Low and High are equal to Y where there
// is none.
type Point struct{ X, Y, Low, High float64 }

// Size of a plot and of its frame, in pixels: two plots fit side by side on a page.
const (
	plotWidth, plotHeight                            = 640, 380
	marginLeft, marginRight, marginTop, marginBottom = 70, 600, 60, 320
)

// colours can be told apart by the colour blind (Okabe and Ito), and on white and on black.
var colours = []string{"#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"}

// FileName is without .svg.
func (p Plot) FileName() string { return p.Name }

// Caption says what is seen.
func (p Plot) Caption() string { return p.Title }

// SVG draws the plot.
func (p Plot) SVG() string {
	x, y := p.bothAxes()
	var b strings.Builder
	beginSVG(&b, plotHeight)
	drawText(&b, marginLeft, 24, "start", 16, fmt.Sprintf("%s (%s)", p.Title, p.Y))
	for _, t := range y.tickValues() {
		drawLine(&b, marginLeft, y.position(t), marginRight, y.position(t), "#ddd")
		drawText(&b, marginLeft-8, y.position(t)+4, "end", 13, formatNumber(t))
	}
	for _, t := range x.tickValues() {
		drawLine(&b, x.position(t), marginBottom, x.position(t), marginBottom+5, "#333")
		drawText(&b, x.position(t), marginBottom+20, "middle", 13, formatNumber(t))
	}
	drawLine(&b, marginLeft, marginBottom, marginRight, marginBottom, "#333")
	drawText(&b, (marginLeft+marginRight)/2, marginBottom+45, "middle", 13, p.X)
	p.drawLegend(&b)
	for i, s := range p.Series {
		s.drawSeries(&b, x, y, colours[i%len(colours)])
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// drawLegend writes the names on one line, at the right above the frame.
func (p Plot) drawLegend(b *strings.Builder) {
	at := float64(marginRight)
	for i := len(p.Series) - 1; i >= 0; i-- {
		name := p.Series[i].Name
		drawText(b, at, marginTop-12, "end", 13, name)
		at -= 7.2 * float64(textWidth(name)) // about a character's width at this size
		drawLine(b, at-24, marginTop-16, at-6, marginTop-16, colours[i%len(colours)])
		at -= 40
	}
}

func (s Series) drawSeries(b *strings.Builder, x, y axis, colour string) {
	var path []string
	for _, p := range s.Points {
		path = append(path, fmt.Sprintf("%.1f,%.1f", x.position(p.X), y.position(p.Y)))
		drawLine(b, x.position(p.X), y.position(p.Low), x.position(p.X), y.position(p.High), colour)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="%s"/>`+"\n", x.position(p.X), y.position(p.Y), colour)
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n",
		strings.Join(path, " "), colour)
}

// beginSVG begins a drawing as wide as all are.
func beginSVG(b *strings.Builder, height int) {
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n",
		plotWidth, height, plotWidth, height)
	fmt.Fprintf(b, `<rect width="%d" height="%d" fill="white"/>`+"\n", plotWidth, height)
}

func drawText(b *strings.Builder, x, y float64, anchor string, size int, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%d">%s</text>`+"\n",
		x, y, anchor, size, html.EscapeString(s))
}

func drawLine(b *strings.Builder, x1, y1, x2, y2 float64, colour string) {
	fmt.Fprintf(b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="1.5"/>`+"\n",
		x1, y1, x2, y2, colour)
}

// formatNumber writes a tick: 0.5, 20, 1,000.
func formatNumber(v float64) string {
	if math.Abs(v) < 1000 {
		return fmt.Sprintf("%.6g", v) // ticks are sums
	}
	return fmt.Sprintf("%s,%03d", formatNumber(math.Floor(v/1000)), int(math.Mod(v, 1000)))
}
