package top

import (
	"cmp"
	"slices"
	"strings"

	"vxlan-driver/internal/ctl/output"
)

// Screen is what is shown at a time.
type Screen struct {
	Title   string // whose it is
	Colour  output.Colour
	Summary string // a sentence, in that colour
	Notices []Notice
	More    string // what to say if there is no room for all notices
	Panes   []Pane
	Time    string
}

// Notice is a line about something that is wrong.
type Notice struct {
	Colour output.Colour
	Text   string
}

// Pane is a table.
type Pane struct {
	Title   string
	Empty   string // is shown where there are no rows
	Columns []Column
	Rows    []Row
}

// Column is one of a pane's.
type Column struct {
	Heading string
	Shrinks bool // may be cut where the terminal is too narrow
	Wide    bool // is left out there
}

// Row has a cell for each column.
type Row struct {
	Colour output.Colour // 0: the terminal's
	Cells  []Cell
}

// Cell is a text. Rows are sorted by its number if it has one.
type Cell struct {
	Text   string
	Number float64
	Known  bool // the number is
}

// order is how a pane is sorted.
type order struct {
	column  int // -1: as the rows come
	reverse bool
}

// compare compares two rows. Cells without a number follow those that have one, whatever the
// direction.
func (o order) compare(a, b Row) int {
	if o.column < 0 {
		return 0
	}
	x, y := a.Cells[o.column], b.Cells[o.column]
	result := strings.Compare(x.Text, y.Text)
	switch {
	case x.Known && y.Known:
		result = cmp.Compare(x.Number, y.Number)
	case x.Known != y.Known:
		if x.Known {
			return -1
		}
		return 1
	}
	if o.reverse {
		return -result
	}
	return result
}

// isNumeric tells whether a column is best seen with the largest first.
func (p Pane) isNumeric(column int) bool {
	return slices.ContainsFunc(p.Rows, func(r Row) bool { return r.Cells[column].Known })
}

// matchingRows returns the rows that have a text in one of their cells, in an order.
func (p Pane) matchingRows(filter string, o order) (rows []Row) {
	filter = strings.ToLower(filter)
	for _, r := range p.Rows {
		if slices.ContainsFunc(r.Cells, func(c Cell) bool { return strings.Contains(strings.ToLower(c.Text), filter) }) {
			rows = append(rows, r)
		}
	}
	slices.SortStableFunc(rows, o.compare)
	return rows
}

// lines lays rows out as a table with headings, each line no wider than width. Colours come after.
func (p Pane) lines(rows []Row, o order, width int) []string {
	table := output.Listing[Row]{Rows: rows}
	for i, c := range p.Columns {
		heading := c.Heading + " " // columns stay where they are when another one is marked
		if i == o.column {
			heading = c.Heading + map[bool]string{false: "▲", true: "▼"}[o.reverse]
		}
		table.Columns = append(table.Columns, output.Column[Row]{
			Heading: heading, Shrinks: c.Shrinks, Wide: c.Wide, Text: func(r Row) string { return r.Cells[i].Text },
		})
	}
	return strings.Split(strings.TrimSuffix(table.Table(&output.Printer{Width: width}), "\n"), "\n")
}

// shareLines divides a number of lines among those who want some, one after the other.
func shareLines(lines int, wanted []int) []int {
	got := make([]int, len(wanted))
	for given := true; given && lines > 0; {
		given = false
		for i := range wanted {
			if lines > 0 && got[i] < wanted[i] {
				got[i]++
				lines--
				given = true
			}
		}
	}
	return got
}
