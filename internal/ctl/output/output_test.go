package output

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

type host struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Since string `json:"since,omitempty"`
}

var columns = []Column[host]{
	{Heading: "NAME", Text: func(h host) string { return h.Name }, Shrinks: true},
	{Heading: "STATE", Text: func(h host) string { return h.State }},
	{Heading: "UP SINCE", Text: func(h host) string { return h.Since }, Wide: true},
}

var hosts = []host{{"host-a", "up", "1h"}, {"host-with-a-long-name", "down", ""}}

// run prints the hosts as a subcommand that was typed with arguments.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	var opts Options
	cmd := &cobra.Command{Use: "ls", Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true, RunE: func(cmd *cobra.Command, _ []string) error {
		return opts.Run(cmd, func(p *Printer) error {
			return Listing[host]{Key: "hosts", Columns: columns, Rows: hosts, Notes: []string{"host-with-a-long-name is down"}}.Print(p)
		})
	}}
	opts.AddListFlags(cmd, Headings(columns))
	cmd.SetOut(&out)
	cmd.SetArgs(append([]string{}, args...)) // nil is the test's own arguments
	err := cmd.Execute()
	return out.String(), err
}

func TestListing(t *testing.T) {
	const note = "# host-with-a-long-name is down\n"
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"table", nil, "NAME                   STATE  UP SINCE\nhost-a                 up     1h\nhost-with-a-long-name  down   -\n" + note},
		{"no heading", []string{"--noheading"}, "host-a                 up     1h\nhost-with-a-long-name  down   -\n" + note},
		{"quiet", []string{"-q"}, "host-a\nhost-with-a-long-name\n"},
		{"filter", []string{"-q", "--filter", "name=host-?"}, "host-a\n"},
		{"either", []string{"-q", "--filter", "state=up", "--filter", "state=down"}, "host-a\nhost-with-a-long-name\n"},
		{"both", []string{"-q", "--filter", "state=up", "--filter", "name=host-with*"}, ""},
		{"not", []string{"-q", "--filter", "state!=up"}, "host-with-a-long-name\n"},
		{"heading of two words", []string{"-q", "--filter", "up-since=1h"}, "host-a\n"},
		{"template", []string{"--format", `{{.Name}}\t{{.State | upper}}`}, "host-a                 UP\nhost-with-a-long-name  DOWN\n"},
		{"template with heading", []string{"--format", `table {{.Name}}\t{{.State}}`}, "NAME                   STATE\nhost-a                 up\nhost-with-a-long-name  down\n"},
		{"json", []string{"--format", "json", "--filter", "state=up"}, `{
  "schema": 1,
  "hosts": [
    {
      "name": "host-a",
      "state": "up",
      "since": "1h"
    }
  ],
  "notes": [
    "host-with-a-long-name is down"
  ]
}
`},
		{"json without rows", []string{"--format", "{{json .}}", "--filter", "name=none"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := run(t, tt.args...); err != nil || got != tt.want {
				t.Errorf("printed, %v\n%s", err, got)
			}
		})
	}
}

// What other hosts say can neither move the cursor nor look like a line of its own.
func TestTextIsSafeForTerminals(t *testing.T) {
	const text = "a\x1b[2Jb\u009bc\nd"
	listing := Listing[host]{Columns: columns, Rows: []host{{Name: text}}, Notes: []string{text}}
	for _, p := range []*Printer{{}, {Width: 80}, {Quiet: true}} {
		var out bytes.Buffer
		p.Out = &out
		if err := listing.Print(p); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); strings.ContainsAny(got, "\x1b\u009b") || !strings.Contains(got, "a\ufffd[2Jb\ufffdc d") {
			t.Errorf("width %d, quiet %t: %q", p.Width, p.Quiet, got)
		}
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	tests := []struct{ args, want string }{
		{"--filter name", "type COLUMN=VALUE"},
		{"--filter colour=red", "there are name, state, up-since"},
		{"--filter name=[", "syntax error in pattern"},
		{"--format {{.Name", "unclosed action"},
		{"--format {{.Colour}}", "can't evaluate field Colour"},
		{"--format json -q", "exclude each other"},
		{"--watch --interval 1ms", "less than 100ms"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			out, err := run(t, strings.Fields(tt.args)...)
			if _, usage := errors.AsType[UsageError](err); !usage || !strings.Contains(err.Error(), tt.want) || out != "" {
				t.Errorf("got %v, printed %q", err, out)
			}
		})
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	tests := []struct {
		width int
		want  string
	}{
		{0, "NAME                   STATE  UP SINCE\nhost-a                 up     1h\nhost-with-a-long-name  down   -\n"},
		{30, "NAME                   STATE\nhost-a                 up\nhost-with-a-long-name  down\n"},
		{20, "NAME           STATE\nhost-a         up\nhost-with-a-…  down\n"},
		{10, "NAME      STATE\nhost-a    up\nhost-wi…  down\n"},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		if err := (Listing[host]{Columns: columns, Rows: hosts}).Print(&Printer{Out: &out, Width: tt.width}); err != nil || out.String() != tt.want {
			t.Errorf("width %d: %v\n%s", tt.width, err, out.String())
		}
	}
}

// A file is no terminal: no colours, whole lines.
func TestFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &Printer{Out: f}
	if p.detectTerminal(f); p.Terminal || p.Colour || p.Width != 0 || p.Paint(Red, "x") != "x" {
		t.Errorf("a file is a terminal: %+v", p)
	}
}

func TestReportHasSchemaFirst(t *testing.T) {
	var out bytes.Buffer
	for _, object := range []any{hosts[0], struct{}{}} {
		if err := (&Printer{Out: &out, json: true, compact: true}).Report(object, nil); err != nil {
			t.Fatal(err)
		}
	}
	if want := "{\"schema\":1,\"name\":\"host-a\",\"state\":\"up\",\"since\":\"1h\"}\n{\"schema\":1}\n"; out.String() != want {
		t.Errorf("printed %s", out.String())
	}
	if err := (&Printer{Out: &out, json: true}).Report(hosts, nil); err == nil {
		t.Error("a list was printed without a schema")
	}
}

// Who watches sees the error that ends it, and what was printed before.
func TestWatchEndsWithAnError(t *testing.T) {
	var out bytes.Buffer
	opts := Options{Watch: true, Interval: minInterval}
	n := 0
	err := opts.watch(t.Context(), &Printer{Out: &out}, func(p *Printer) error {
		if n++; n == 3 {
			return errors.New("gone")
		}
		_, err := p.Out.Write([]byte("here\n"))
		return err
	})
	if err == nil || err.Error() != "gone" || out.String() != "here\n\nhere\n\n" {
		t.Errorf("printed %q, %v", out.String(), err)
	}
}
