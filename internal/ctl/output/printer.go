package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"text/template"

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
		return string(text), err
	},
	"join":  func(sep string, words []string) string { return strings.Join(words, sep) },
	"lower": strings.ToLower,
	"upper": strings.ToUpper,
}

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
	document = append(document, fields[1:]...)
	if !compact {
		var indented bytes.Buffer
		if err := json.Indent(&indented, document, "", "  "); err != nil {
			return nil, fmt.Errorf("encode as JSON: %w", err)
		}
		document = indented.Bytes()
	}
	return append(document, '\n'), nil
}

// executeTemplate prints a line an object.
func (p *Printer) executeTemplate(objects []any) error {
	table := tabwriter.NewWriter(p.Out, 0, 0, 2, ' ', 0)
	if p.heading {
		fmt.Fprintln(table, templateHeading(p.template.Root.String()))
	}
	for _, o := range objects {
		if err := p.template.Execute(table, o); err != nil {
			return UsageError{fmt.Errorf("--format: %w", err)}
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
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
	f, ok := out.(*os.File)
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

// Paint colours text, where that is wanted.
func (p *Printer) Paint(c Colour, text string) string {
	if !p.Colour {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", c, text)
}
