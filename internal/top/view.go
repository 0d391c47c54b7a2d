package top

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"vxlan-driver/internal/ctl/output"
)

const (
	maxNotices = 3
	// paneLines are those of a pane beside its rows: a title, and headings.
	paneLines = 2
	// minPaned is the height from which on there is room for all panes. Below, the one with the focus
	// has all of it.
	minPaned = 14
)

const helpText = `Keys

  tab, shift+tab    another table
  up, down, j, k    a row up or down; pgup, pgdown, home and end go further
  s                 sort by the next column, and at last as the rows come
  r                 the other way round
  /                 show only rows with a text; enter keeps it, esc shows all again
  p, space          pause, and go on
  q, ctrl+c         end

Any key goes back.`

// View draws the screen.
func (m model) View() tea.View {
	lines := m.lines()
	if len(lines) > m.height {
		lines = lines[:max(0, m.height)]
	}
	v := tea.NewView(strings.Join(lines, "\n"))
	v.AltScreen, v.WindowTitle = true, "vxlanctl top"
	return v
}

func (m model) lines() []string {
	if m.help {
		var lines []string
		for line := range strings.SplitSeq(helpText, "\n") {
			lines = append(lines, output.Cut(line, m.width))
		}
		return lines
	}
	lines := append([]string{m.headLine()}, m.noticeLines()...)
	room := m.height - len(lines) - 1
	lines = append(lines, m.paneLines(room)...)
	lines = lines[:min(len(lines), max(0, m.height-1))] // panes have headings also where there is no room
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	return append(lines, m.footLine())
}

func (m model) paint(c output.Colour, text string) string {
	if c == 0 {
		return text
	}
	return string((&output.Printer{Colour: m.colour}).Paint(c, text))
}

// headLine is the summary, with the time or what is out of the ordinary at its right.
func (m model) headLine() string {
	right := m.screen.Time
	if m.paused {
		right = "paused, as of " + right
	}
	if m.screen.Title == "" {
		return output.Cut("asking the agent", m.width)
	}
	right = output.Cut(right, m.width)
	left := output.Cut(output.Printable(m.screen.Title+": "+m.screen.Summary), m.width-output.Width(right)-1)
	gap := strings.Repeat(" ", max(0, m.width-output.Width(left)-output.Width(right)))
	return m.paint(m.screen.Colour, left) + gap + right
}

func (m model) noticeLines() (lines []string) {
	all := m.screen.Notices
	for _, n := range all[:min(len(all), maxNotices)] {
		lines = append(lines, m.paint(n.Colour, output.Cut(output.Printable(n.Text), m.width)))
	}
	if more := len(all) - maxNotices; more > 0 {
		lines = append(lines, output.Cut(fmt.Sprintf("and %d more: %s", more, m.screen.More), m.width))
	}
	return lines
}

// paneLines are the panes, in a number of lines.
func (m model) paneLines(room int) (lines []string) {
	if m.height < minPaned {
		if m.focus < len(m.screen.Panes) {
			lines = m.pane(m.focus, room-paneLines)
		}
		return lines
	}
	wanted := make([]int, len(m.screen.Panes))
	for i, p := range m.screen.Panes {
		wanted[i] = max(1, len(p.matchingRows(m.filter, m.orders[i])))
	}
	for i, rows := range shareLines(room-paneLines*len(wanted), wanted) {
		lines = append(lines, m.pane(i, rows)...)
	}
	return lines
}

// pane is one of the tables, with so many rows.
func (m model) pane(i, count int) []string {
	p, o := m.screen.Panes[i], m.orders[i]
	rows := p.matchingRows(m.filter, o)
	count = min(max(0, count), len(rows))
	first := min(m.top[i], len(rows)-count)
	shown := rows[first : first+count]
	lines := []string{output.Cut(m.paneTitle(i, first, len(shown), len(rows)), m.width)}
	if len(rows) == 0 {
		return append(lines, output.Cut("  "+p.Empty, m.width), "")
	}
	// All rows count for the widths, so that columns stay where they are while somebody scrolls.
	table := p.lines(rows, o, m.width)
	lines = append(lines, output.Cut(strings.TrimRight(table[0], " "), m.width))
	for k, r := range shown {
		lines = append(lines, m.paint(r.Colour, output.Cut(table[1+first+k], m.width)))
	}
	return lines
}

func (m model) paneTitle(i, first, shown, all int) string {
	mark := "  "
	if i == m.focus {
		mark = "▸ "
	}
	title := mark + m.screen.Panes[i].Title
	if shown < all {
		title += fmt.Sprintf(" %d–%d of %d", first+1, first+shown, all)
	}
	if m.filter != "" {
		title += " with “" + m.filter + "”"
	}
	return title + " " + strings.Repeat("─", max(0, m.width-output.Width(title)-1))
}

func (m model) footLine() string {
	if m.typing {
		return output.Cut("show rows with: "+m.filter+"▏", m.width)
	}
	return output.Cut("q end  ? help  tab table  s sort  r reverse  / filter  p pause", m.width)
}
