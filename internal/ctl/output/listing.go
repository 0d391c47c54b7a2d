package output

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Listing is what a subcommand prints that lists something. A row's exported fields are what
// templates and JSON show, so they are documented and stay.
type Listing[Row any] struct {
	Key     string // of the rows in JSON, such as "hosts"
	Columns []Column[Row]
	Rows    []Row
	// Notes are lines below the table: what is wrong with the rows, and what to do.
	Notes []string
}

// Column is a column of the table.
type Column[Row any] struct {
	Heading string // in capitals
	Text    func(Row) string
	Shrinks bool // may be cut where the terminal is too narrow
	Wide    bool // is left out there
	Sparse  bool // is left out of tables where no row has a value
}

// Headings returns the headings of columns, by which rows are filtered.
func Headings[Row any](columns []Column[Row]) []string {
	headings := make([]string, len(columns))
	for i, c := range columns {
		headings[i] = c.Heading
	}
	return headings
}

// Print prints the rows that the user wants to see. Of a table -q prints the first column.
func (l Listing[Row]) Print(p *Printer) error {
	rows := l.filter(p.filters)
	switch {
	case p.json:
		return p.printJSON(l.object(rows))
	case p.template != nil:
		objects := make([]any, len(rows))
		for i, r := range rows {
			objects[i] = r
		}
		return p.executeTemplate(objects)
	case p.Quiet:
		for _, r := range rows {
			fmt.Fprintln(p.Out, Printable(l.Columns[0].Text(r)))
		}
		return nil
	}
	_, err := io.WriteString(p.Out, l.table(p, rows)+noteLines(p, l.Notes))
	return err
}

// Table is the table as a part of a report for people, without the notes.
func (l Listing[Row]) Table(p *Printer) string { return l.table(p, l.Rows) }

// Object is what is printed as JSON.
func (l Listing[Row]) Object() any { return l.object(l.filter(nil)) }

func (l Listing[Row]) object(rows []Row) any {
	return map[string]any{l.Key: rows, "notes": append([]string{}, l.Notes...)}
}

// Cells are the texts of the table whole, a line a row, for whoever lays them out. The first line has
// the headings.
func (l Listing[Row]) Cells() [][]string {
	l.dropEmpty(l.Rows)
	return l.cells(l.Rows)
}

// dropEmpty leaves out sparse columns without a value.
func (l *Listing[Row]) dropEmpty(rows []Row) {
	l.Columns = slices.DeleteFunc(slices.Clone(l.Columns), func(c Column[Row]) bool {
		return c.Sparse && !slices.ContainsFunc(rows, func(r Row) bool { return c.Text(r) != "" })
	})
}

// filter leaves out the rows that do not pass. A filter by a column that the table lacks is meant for
// another table of the same report.
func (l Listing[Row]) filter(filters []filter) []Row {
	filters = slices.DeleteFunc(slices.Clone(filters), func(f filter) bool {
		return !slices.ContainsFunc(l.Columns, func(c Column[Row]) bool { return filterKey(c.Heading) == f.key })
	})
	rows := make([]Row, 0, len(l.Rows)) // JSON shows none as []
	for _, r := range l.Rows {
		if matches(filters, func(key string) string { return l.textByKey(r, key) }) {
			rows = append(rows, r)
		}
	}
	return rows
}

// Wanted returns the rows that the user wants to see of a table that is a part of a report.
func Wanted[Row any](p *Printer, columns []Column[Row], rows []Row) []Row {
	return Listing[Row]{Columns: columns, Rows: rows}.filter(p.filters)
}

// Wants tells whether the user wants to see what these columns are of.
func Wants[Row any](p *Printer, columns []Column[Row], r Row) bool {
	return len(Wanted(p, columns, []Row{r})) > 0
}

func (l Listing[Row]) textByKey(r Row, key string) string {
	for _, c := range l.Columns {
		if filterKey(c.Heading) == key {
			return c.Text(r)
		}
	}
	return ""
}

const (
	columnGap    = 2
	minShrunk    = 8 // a cut value is of no use below
	missingValue = "-"
	notePrefix   = "# "
	noteIndent   = "#   "
)

func (l Listing[Row]) table(p *Printer, rows []Row) string {
	l.dropEmpty(rows)
	cells, columns := l.cells(rows), l.Columns
	widths := columnWidths(cells)
	if p.Width > 0 {
		cells, columns, widths = dropWide(cells, columns, widths, p.Width)
		shrink(columns, widths, p.Width)
	}
	var b strings.Builder
	for i, line := range cells {
		if i == 0 && p.NoHeading {
			continue
		}
		writeLine(&b, line, widths)
	}
	return b.String()
}

// noteLines are lines for people below what was printed.
func noteLines(p *Printer, notes []string) string {
	var b strings.Builder
	for _, n := range notes {
		b.WriteString(p.Wrap(notePrefix, noteIndent, n))
	}
	return b.String()
}

// cells returns the headings and the rows as text.
func (l Listing[Row]) cells(rows []Row) [][]string {
	cells := [][]string{Headings(l.Columns)}
	for _, r := range rows {
		line := make([]string, len(l.Columns))
		for i, c := range l.Columns {
			if line[i] = Printable(c.Text(r)); line[i] == "" {
				line[i] = missingValue
			}
		}
		cells = append(cells, line)
	}
	return cells
}

func columnWidths(cells [][]string) []int {
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, text := range line {
			widths[i] = max(widths[i], Width(text))
		}
	}
	return widths
}

func totalWidth(widths []int) int {
	total := columnGap * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	return total
}

// dropWide leaves out the last columns that may be left out, until the rest fits.
func dropWide[Row any](cells [][]string, columns []Column[Row], widths []int,
	limit int) ([][]string, []Column[Row], []int) {
	for i := len(columns) - 1; i >= 0 && totalWidth(widths) > limit; i-- {
		if !columns[i].Wide {
			continue
		}
		columns, widths = without(columns, i), without(widths, i)
		for k := range cells {
			cells[k] = without(cells[k], i)
		}
	}
	return cells, columns, widths
}

func without[T any](all []T, i int) []T { return append(append([]T{}, all[:i]...), all[i+1:]...) }

// shrink narrows the widest columns that may be cut, until the table fits or none is left.
func shrink[Row any](columns []Column[Row], widths []int, limit int) {
	for excess := totalWidth(widths) - limit; excess > 0; excess-- {
		widest := -1
		for i, c := range columns {
			if c.Shrinks && widths[i] > minShrunk && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			return
		}
		widths[widest]--
	}
}

func writeLine(b *strings.Builder, line []string, widths []int) {
	for i, text := range line {
		text = Cut(text, widths[i])
		b.WriteString(text)
		if i < len(line)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-Width(text)+columnGap))
		}
	}
	b.WriteByte('\n')
}
