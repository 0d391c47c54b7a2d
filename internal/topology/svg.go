package topology

import (
	"encoding/xml"
	"fmt"
	"strings"
)

// The picture's measures, in pixels. A letter of a monospace font is 0.6 times as wide as high.
const (
	svgWidth    = 860
	svgMargin   = 20
	svgBox      = 340
	svgLine     = 18
	svgFont     = 13
	svgMaxRunes = (svgBox - 2*svgPadding) * 10 / (6 * svgFont)
	svgPadding  = 10
)

const svgStyle = `<style>
svg { background: #ffffff; font: 13px monospace; }
text { fill: #1a1a1a; }
.title, .name { font-weight: bold; }
.box { fill: #f4f6f8; stroke: #5f6b7a; }
.self { fill: #e3effb; stroke: #1f5fa8; }
.reachable { stroke: #1b7f3b; stroke-width: 2; }
.unreachable { stroke: #b3261e; stroke-width: 2; stroke-dasharray: 6 4; }
.lossy { stroke: #b36b00; stroke-width: 2; stroke-dasharray: 2 3; }
.box.reachable, .box.lossy, .box.unreachable { stroke-width: 1; }
@media (prefers-color-scheme: dark) {
svg { background: #14171b; }
text { fill: #e8eaed; }
.box { fill: #1d2229; stroke: #8a96a5; }
.self { fill: #182c44; stroke: #8ab8f0; }
.reachable { stroke: #6fcf8d; }
.unreachable { stroke: #ff8a80; }
.lossy { stroke: #f0b45a; }
}
</style>
`

// SVG draws a picture that needs nothing beside itself. A network is a band with this host at the
// left and the others at the right.
func (t Topology) SVG() string {
	var body strings.Builder
	y := svgMargin
	for _, n := range t.Networks {
		y = n.drawBand(&body, y) + svgMargin
	}
	if len(t.Networks) == 0 {
		y += svgLine
		drawText(&body, "title", svgMargin, y, "no VXLAN network has a container on this host")
		y += svgMargin
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">
<title>VXLAN networks</title>
%s%s</svg>
`, svgWidth, y, svgWidth, y, svgStyle, body.String())
}

// drawBand draws a network from y on, and returns where it ends.
func (n Network) drawBand(b *strings.Builder, y int) int {
	y += svgLine
	drawText(b, "title", svgMargin, y, n.title())
	y += svgPadding
	left, right := y, y
	for _, h := range n.Hosts {
		if h.State == StateSelf {
			left = h.drawBox(b, svgMargin, y) + svgPadding
			continue
		}
		if n.Here {
			fmt.Fprintf(b, `<line class="%s" x1="%d" y1="%d" x2="%d" y2="%d"/>`+"\n",
				strings.TrimPrefix(svgClasses[h.State], "box "), svgMargin+svgBox, y+svgLine, svgWidth-svgMargin-svgBox, right+
					svgLine)
		}
		right = h.drawBox(b, svgWidth-svgMargin-svgBox, right) + svgPadding
	}
	return max(left, right)
}

var svgClasses = map[string]string{
	StateSelf: "box self", StateReachable: "box reachable", StateLossy: "box lossy", StateUnreachable: "box unreachable",
	StateElsewhere: "box",
}

func (h Host) drawBox(b *strings.Builder, x, y int) int {
	lines := append([]string{h.Name, h.State}, h.drawnContainers()...)
	height := len(lines)*svgLine + svgPadding
	fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="4"/>`+"\n", svgClasses[h.State], x, y,
		svgBox, height)
	class := "name"
	for i, line := range lines {
		drawText(b, class, x+svgPadding, y+(i+1)*svgLine, cut(line, svgMaxRunes))
		class = "line"
	}
	return y + height
}

func drawText(b *strings.Builder, class string, x, y int, text string) {
	fmt.Fprintf(b, `<text class="%s" x="%d" y="%d">`, class, x, y)
	_ = xml.EscapeText(b, []byte(text)) // a Builder takes all
	b.WriteString("</text>\n")
}
