package output

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"
)

// Options are the flags that all subcommands have which print something.
type Options struct {
	Format    string // "": for people; "json"; else a template
	Quiet     bool   // only what a script needs: the first column of a listing
	NoHeading bool
	NoTrunc   bool
	Filters   []string
	Watch     bool
	Interval  time.Duration // of Watch

	// Drawings are further formats, which the subcommand prints itself.
	Drawings []string

	filterKeys []string // that Filters may name; none: there is no such flag
}

const (
	defaultInterval = 2 * time.Second
	minInterval     = 100 * time.Millisecond
)

// AddReportFlags adds the flags of a subcommand that prints one report.
func (o *Options) AddReportFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	o.addFormatFlag(cmd)
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print only what a script needs")
	f.BoolVar(&o.NoHeading, "noheading", false, "print no headings")
	f.BoolVar(&o.NoTrunc, "no-trunc", false, "print long values whole, also if lines get wider than the terminal")
	f.BoolVarP(&o.Watch, "watch", "w", false, "print again and again until interrupted")
	f.DurationVar(&o.Interval, "interval", defaultInterval, "how often --watch prints")
}

// AddListFlags adds the flags of a subcommand that prints rows, which are filtered by columns.
func (o *Options) AddListFlags(cmd *cobra.Command, columns []string) {
	o.AddReportFlags(cmd)
	o.addFilterFlag(cmd, columns, "f")
}

// AddFilterFlag adds the filter alone, for a subcommand whose -f means something else.
func (o *Options) AddFilterFlag(cmd *cobra.Command, columns []string) {
	o.addFilterFlag(cmd, columns, "")
}

func (o *Options) addFilterFlag(cmd *cobra.Command, columns []string, shorthand string) {
	for _, c := range columns {
		o.filterKeys = append(o.filterKeys, filterKey(c))
	}
	cmd.Flags().StringArrayVarP(&o.Filters, "filter", shorthand, nil,
		"print only rows with `COLUMN=VALUE` or COLUMN!=VALUE; * stands for any text")
	keys := make([]string, len(o.filterKeys))
	for i, k := range o.filterKeys {
		keys[i] = k + "="
	}
	_ = cmd.RegisterFlagCompletionFunc("filter",
		cobra.FixedCompletions(keys, cobra.ShellCompDirectiveNoSpace|cobra.ShellCompDirectiveNoFileComp))
}

// AddStreamFlags adds the flags of a subcommand that prints objects as they come.
func (o *Options) AddStreamFlags(cmd *cobra.Command) {
	o.addFormatFlag(cmd)
}

func (o *Options) addFormatFlag(cmd *cobra.Command) {
	usage := "print `json`, or each object by a Go template, such as '{{.Name}}'"
	if len(o.Drawings) > 0 {
		usage = "draw it as " + strings.Join(o.Drawings, ", ") + "; or " + usage
	}
	cmd.Flags().StringVar(&o.Format, "format", "", usage)
	_ = cmd.RegisterFlagCompletionFunc("format",
		cobra.FixedCompletions(append([]string{"json"}, o.Drawings...), cobra.ShellCompDirectiveNoFileComp))
}

// Stream returns a printer for objects as they come. Each is printed at once, as one line of JSON
// where that is wanted.
func (o *Options) Stream(cmd *cobra.Command) (*Printer, error) {
	p, err := o.newPrinter(cmd.OutOrStdout())
	if err != nil {
		return nil, UsageError{err}
	}
	p.compact = true
	return p, nil
}

// StreamOf is Stream for a subcommand that changes something and prints one object about it. A template
// that the object does not fit is refused before.
func (o *Options) StreamOf(cmd *cobra.Command, object any) (*Printer, error) {
	p, err := o.Stream(cmd)
	if err == nil && p.template != nil {
		err = executeOn(io.Discard, p.template, object)
	}
	return p, err
}

// Run checks the flags, and calls print once, or with --watch again and again.
func (o *Options) Run(cmd *cobra.Command, print func(*Printer) error) error {
	p, err := o.newPrinter(cmd.OutOrStdout())
	if err != nil {
		return UsageError{err}
	}
	if !o.Watch {
		return print(p)
	}
	return o.watch(cmd.Context(), p, print)
}

func (o *Options) newPrinter(out io.Writer) (*Printer, error) {
	filters, err := parseFilters(o.Filters, o.filterKeys)
	if err != nil {
		return nil, err
	}
	if o.Watch && o.Interval < minInterval {
		return nil, fmt.Errorf("--interval %v is less than %v", o.Interval, minInterval)
	}
	p := &Printer{Quiet: o.Quiet, NoHeading: o.NoHeading, filters: filters, compact: o.Watch}
	p.detectTerminal(out)
	p.Out = &safeWriter{out: Raw(out), colours: p.Colour}
	if o.NoTrunc {
		p.Width = 0
	}
	switch format, heading := strings.CutPrefix(o.Format, "table "); {
	case o.Format == "":
	case o.Quiet:
		return nil, errors.New("--quiet and --format exclude each other")
	case slices.Contains(o.Drawings, o.Format):
		p.Drawing = o.Format
	case o.Format == "json":
		p.json = true
	case !strings.Contains(format, "{{"):
		known := strings.Join(append([]string{"json"}, o.Drawings...), ", ")
		return nil, fmt.Errorf("--format %q: must be %s, or a template such as '{{.Name}}'", o.Format, known)
	default:
		p.heading = heading && !o.NoHeading
		p.template, err = template.New("format").Funcs(templateFuncs).Parse(unescape(format))
		if err != nil {
			return nil, fmt.Errorf("--format %q: %w", o.Format, err)
		}
	}
	return p, nil
}

// unescape makes \t and \n of what a shell passes on, as Podman does.
func unescape(format string) string {
	return strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
}

// UsageError is an error of what was typed, not of what it is about.
type UsageError struct{ Err error }

// Error says what is wrong.
func (e UsageError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e UsageError) Unwrap() error { return e.Err }
