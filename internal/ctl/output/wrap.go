package output

import (
	"strconv"
	"strings"
)

// Wrap returns text as lines that fit the terminal. The first one begins with first, the others with
// the indent. Where there is no terminal it is one line, which can be searched.
func (p *Printer) Wrap(first, indent, text string) string {
	first, text = Printable(first), Printable(text)
	if p.Width == 0 {
		return first + text + "\n"
	}
	var b strings.Builder
	line, empty := first, true
	for _, word := range strings.Fields(text) {
		if !empty && Width(line)+1+Width(word) > p.Width {
			b.WriteString(line + "\n")
			line, empty = indent, true
		}
		if !empty {
			line += " "
		}
		line, empty = line+word, false
	}
	return b.String() + line + "\n"
}

// Count is a number with its noun, which takes an s unless it is one.
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}
