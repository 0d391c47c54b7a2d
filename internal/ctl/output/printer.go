package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Schema is the version of the JSON. It grows when a field goes or changes its meaning. Fields may
// be added without.
const Schema = 1

// Printer prints in the form that the user chose.
type Printer struct {
	Out       io.Writer
	Width     int  // of the terminal; 0: lines may have any width
	Colour    bool // Out is a terminal, and NO_COLOR is not set
	Terminal  bool
	Quiet     bool
	NoHeading bool
	Drawing   string // one of the subcommand's own formats; empty: another one was chosen

	json     bool
	compact  bool // a line an object
	template *template.Template
	heading  bool // of the template's fields
	filters  []filter
}

// templateFuncs are those of Podman that make sense for values that are no pointers.
var templateFuncs = template.FuncMap{
	"json": func(v any) (string, error) {
		text, err := json.Marshal(v)
		return string(escapeUnprintable(text)), err
	},
	"join":  func(sep string, words []string) string { return strings.Join(words, sep) },
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
}

// IsFiltered tells whether the user wants to see some rows only.
func (p *Printer) IsFiltered() bool { return len(p.filters) > 0 }

// Report prints one object: text prints it for people.
func (p *Printer) Report(object any, text func(io.Writer) error) error {
	switch {
	case p.json:
		return p.printJSON(object)
	case p.template != nil:
		return p.executeTemplate([]any{object})
	}
	return text(p.Out)
}

// printJSON prints an object with the schema as its first field.
func (p *Printer) printJSON(object any) error {
	document, err := Document(object, p.compact)
	if err != nil {
		return err
	}
	_, err = p.Out.Write(document)
	return err
}

// Document is an object as JSON, with the schema as its first field and a line break at its end.
func Document(object any, compact bool) ([]byte, error) {
	fields, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode as JSON: %w", err)
	}
	if len(fields) < 2 || fields[0] != '{' {
		return nil, fmt.Errorf("encode as JSON: %T is no object", object)
	}
	document := fmt.Appendf(nil, `{"schema":%d`, Schema)
	if len(fields) > len("{}") {
		document = append(document, ',')
	}
	document = append(document, escapeUnprintable(fields[1:])...)
	if !compact {
		var indented bytes.Buffer
		if err := json.Indent(&indented, document, "", "  "); err != nil {
			return nil, fmt.Errorf("encode as JSON: %w", err)
		}
		document = indented.Bytes()
	}
	return append(document, '\n'), nil
}

// escapeUnprintable writes by their numbers what a terminal would obey, or not show. Package json does
// so below U+0020 only. The values stay what they are.
func escapeUnprintable(document []byte) []byte {
	escaped := make([]byte, 0, len(document))
	for _, r := range string(document) {
		switch {
		case r == ' ' || unicode.IsPrint(r):
			escaped = utf8.AppendRune(escaped, r)
		default:
			for _, unit := range utf16.AppendRune(nil, r) {
				escaped = fmt.Appendf(escaped, `\u%04x`, unit)
			}
		}
	}
	return escaped
}

// executeTemplate prints a line an object.
func (p *Printer) executeTemplate(objects []any) error {
	var text strings.Builder
	if p.heading {
		text.WriteString(templateHeading(p.template.Root.String()) + "\n")
	}
	for _, o := range objects {
		if err := executeOn(&text, p.template, o); err != nil {
			return err
		}
		text.WriteByte('\n')
	}
	_, err := io.WriteString(p.Out, alignTabs(text.String()))
	return err
}

func executeOn(out io.Writer, t *template.Template, object any) error {
	if err := t.Execute(out, object); err != nil {
		return UsageError{fmt.Errorf("--format: %w", err)}
	}
	return nil
}

// alignTabs makes columns of what tabs divide. The package text/tabwriter takes each character for
// one column of the terminal.
func alignTabs(text string) string {
	if text == "" {
		return ""
	}
	var lines [][]string
	var widths []int
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		cells := strings.Split(line, "\t")
		lines = append(lines, cells)
		for i, c := range cells[:len(cells)-1] {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], Width(c))
		}
	}
	var b strings.Builder
	for _, cells := range lines {
		for i, c := range cells[:len(cells)-1] {
			b.WriteString(c + strings.Repeat(" ", widths[i]-Width(c)+columnGap))
		}
		b.WriteString(cells[len(cells)-1] + "\n")
	}
	return b.String()
}

// templateHeading makes "NAME  STATE" of "{{.Name}}\t{{.State}}".
func templateHeading(source string) string {
	source = strings.NewReplacer("{{", "", "}}", "", "\"\\t\"", "\t").Replace(source)
	fields := strings.Split(source, "\t")
	for i, f := range fields {
		words := strings.Split(f, ".")
		fields[i] = strings.ToUpper(strings.TrimSpace(words[len(words)-1]))
	}
	return strings.Join(fields, "\t")
}

// defaultWidth is what documents and terminals have that do not say more.
const defaultWidth = 80

// detectTerminal finds out where out leads. Files and pipes get no colours and whole lines.
func (p *Printer) detectTerminal(out io.Writer) {
	f, ok := Raw(out).(*os.File)
	if !ok {
		return
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	p.Terminal = true
	p.Width = int(size.Col)
	if columns, err := strconv.Atoi(os.Getenv("COLUMNS")); p.Width == 0 && err == nil && columns > 0 {
		p.Width = columns
	}
	if p.Width == 0 {
		p.Width = defaultWidth
	}
	_, plain := os.LookupEnv("NO_COLOR") // no-color.org: whatever its value, unless that is empty
	p.Colour = (!plain || os.Getenv("NO_COLOR") == "") && os.Getenv("TERM") != "dumb"
}

// Colour of text on a terminal, by its code in ECMA-48.
type Colour int

// The colours that the tool uses.
const (
	Red    Colour = 31
	Green  Colour = 32
	Yellow Colour = 33
)

// noColour is the terminal's own.
const noColour Colour = 0

// sequence is what changes the colour of a terminal.
func (c Colour) sequence() string { return fmt.Sprintf("\x1b[%dm", c) }

// Paint colours text, where that is wanted.
func (p *Printer) Paint(c Colour, text string) Painted {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		lines = append(lines, Printable(line))
	}
	text = strings.Join(lines, "\n")
	if !p.Colour {
		return Painted(text)
	}
	return Painted(c.sequence() + text + noColour.sequence())
}
