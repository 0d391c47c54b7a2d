package report

import (
	"fmt"
	"strings"
)

// Section is the result of one part of the suite.
type Section struct {
	Name   string // of its files
	Title  string
	Tables []Table
	Plots  []Figure
}

// Figure is a drawing in a file of its own.
type Figure interface {
	FileName() string // without .svg
	Caption() string
	SVG() string
}

// Table is a table with a heading.
type Table struct {
	Title string
	Head  []string
	Rows  [][]string
	Notes []string // paragraphs below it
}

// Markdown is the section with its tables, which refers to the plots by their file names.
func (s Section) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n", s.Title)
	for _, t := range s.Tables {
		b.WriteString("\n" + t.Markdown())
	}
	for _, p := range s.Plots {
		fmt.Fprintf(&b, "\n![%s](%s.svg)\n", p.Caption(), p.FileName())
	}
	return b.String()
}

// Markdown pads the cells, so that the table can be read as it is too.
func (t Table) Markdown() string {
	var b strings.Builder
	if t.Title != "" {
		fmt.Fprintf(&b, "### %s\n\n", t.Title)
	}
	if len(t.Rows) > 0 {
		widths := t.widths()
		writeRow(&b, t.Head, widths, " ")
		writeRow(&b, make([]string, len(t.Head)), widths, "-")
		for _, row := range t.Rows {
			writeRow(&b, row, widths, " ")
		}
	}
	for _, note := range t.Notes {
		fmt.Fprintf(&b, "\n%s\n", note)
	}
	return b.String()
}

func (t Table) widths() []int {
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], textWidth(cell))
		}
	}
	return widths
}

func textWidth(s string) int { return len([]rune(s)) }

func writeRow(b *strings.Builder, cells []string, widths []int, pad string) {
	for i, cell := range cells {
		fmt.Fprintf(b, "| %s%s ", cell, strings.Repeat(pad, widths[i]-textWidth(cell)))
	}
	b.WriteString("|\n")
}
