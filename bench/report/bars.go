package report

import (
	"fmt"
	"strings"
)

// Bars compares the same things by several measures: a group of bars for each measure. A line is where the value is 1.
type Bars struct {
	Name   string // of its file, without .svg
	Title  string
	Names  []string // of the bars of each group
	Groups []Group
}

// Group is one measure. Values are in the order of Bars.Names; their X is not used.
type Group struct {
	Name   string
	Values []Point
}

// Sizes in pixels. Bars are horizontal, since groups have long names.
const (
	barsLeft, barsTop, barsBottom = 210, 40, 30
	barHeight, groupSpace         = 9, 14
	legendHeight                  = 20
)

// FileName is without .svg.
func (c Bars) FileName() string { return c.Name }

// Caption says what is seen.
func (c Bars) Caption() string { return c.Title }

// SVG draws the bars.
func (c Bars) SVG() string {
	top := float64(barsTop + legendHeight*len(c.Names))
	groupHeight := float64(barHeight*len(c.Names) + groupSpace)
	bottom := top + groupHeight*float64(len(c.Groups))
	x := c.axis()
	var b strings.Builder
	beginSVG(&b, int(bottom)+barsBottom)
	drawText(&b, 20, 24, "start", 16, c.Title)
	for i, name := range c.Names {
		y := float64(barsTop + legendHeight*i)
		drawBar(&b, barsLeft, y, barsLeft+24, colours[i%len(colours)])
		drawText(&b, barsLeft+32, y+barHeight, "start", 13, name)
	}
	for _, t := range x.tickValues() {
		drawLine(&b, x.position(t), top, x.position(t), bottom, "#ddd")
		drawText(&b, x.position(t), bottom+20, "middle", 13, formatNumber(t))
	}
	drawLine(&b, x.position(1), top, x.position(1), bottom, "#333")
	for i, g := range c.Groups {
		g.draw(&b, x, top+groupHeight*float64(i)+groupSpace/2)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (c Bars) axis() axis {
	x := axis{from: barsLeft, to: marginRight, max: 1}
	for _, g := range c.Groups {
		for _, v := range g.Values {
			x.max = max(x.max, v.High)
		}
	}
	x.max *= 1.02
	return x
}

func (g Group) draw(b *strings.Builder, x axis, y float64) {
	drawText(b, barsLeft-10, y+float64(barHeight*len(g.Values))/2+4, "end", 13, g.Name)
	for i, v := range g.Values {
		at := y + float64(barHeight*i)
		drawBar(b, x.from, at, x.position(v.Y), colours[i%len(colours)])
		drawLine(b, x.position(v.Low), at+barHeight/2, x.position(v.High), at+barHeight/2, "#333")
	}
}

func drawBar(b *strings.Builder, from, y, to float64, colour string) {
	fmt.Fprintf(b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>`+"\n",
		from, y, to-from, barHeight-1, colour)
}
