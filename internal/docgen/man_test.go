package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl"
)

var anyDate = time.Date(2026, 11, 29, 23, 0, 0, 0, time.UTC)

func testPages(t *testing.T) map[string][]byte {
	t.Helper()
	pages, err := manPages("../..", anyDate)
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// Each command has a page that names all its flags and subcommands, and has its examples.
func TestEveryCommandHasManPage(t *testing.T) {
	pages := testPages(t)
	var check func(*cobra.Command)
	check = func(c *cobra.Command) {
		page := string(pages[strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"])
		if strings.Contains(page, ".SH EXAMPLE") != (c.Example != "") || !strings.Contains(page, "Nov 2026") {
			t.Errorf("%s has no page, or one without examples or the date", c.CommandPath())
		}
		for line := range strings.Lines(c.LocalFlags().FlagUsages()) {
			if name := regexp.MustCompile(`--([a-z-]+)`).FindStringSubmatch(line); !strings.Contains(strings.ReplaceAll(page, `\-`, "-"), name[1]) {
				t.Errorf("the page of %s lacks %s", c.CommandPath(), name[0])
			}
		}
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				if !strings.Contains(strings.ReplaceAll(page, `\-`, "-"), sub.Name()+" ") || !strings.Contains(page, sub.Short) {
					t.Errorf("the page of %s does not say what %s is for", c.CommandPath(), sub.Name())
				}
				check(sub)
			}
		}
	}
	check(ctl.Command(nil, "", io.Discard))
}

// The agent's flags are in its page, and so are its settings in that of its file.
func TestAgentManPages(t *testing.T) {
	pages := testPages(t)
	for _, tt := range []struct{ page, source, pattern string }{
		{"vxland.8", "../../cmd/vxland/main.go", `flag\.\w+Var\(&o\.\w+, "([a-z-]+)"`},
		{"vxland.toml.5", "../../docs/user/config.md", "(?m)^## `([a-z_]+)`"},
	} {
		source, err := os.ReadFile(tt.source)
		if err != nil {
			t.Fatal(err)
		}
		page := strings.ReplaceAll(string(pages[tt.page]), `\-`, "-")
		names := regexp.MustCompile(tt.pattern).FindAllStringSubmatch(string(source), -1)
		if len(names) < 5 {
			t.Errorf("%s names only %d flags or settings", tt.source, len(names))
		}
		for _, name := range names {
			if !strings.Contains(page, name[1]) {
				t.Errorf("%s lacks %s", tt.page, name[1])
			}
		}
		if strings.Contains(page, ".md") || strings.Contains(page, "](") || strings.Contains(page, "|") {
			t.Errorf("%s has links or a table:\n%s", tt.page, page)
		}
	}
}

// groff takes each page without a warning, 80 columns wide.
func TestManPagesAreValid(t *testing.T) {
	if _, err := exec.LookPath("groff"); err != nil {
		t.Skip("this machine has no groff")
	}
	for name, page := range testPages(t) {
		groff := exec.Command("groff", "-t", "-man", "-Kutf8", "-Tutf8", "-ww", "-rLL=78n", "-z")
		groff.Stdin = bytes.NewReader(page)
		if said, err := groff.CombinedOutput(); err != nil || len(said) > 0 {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
	}
}

// Packages are built twice and compared, so nothing in a page may be of the build.
func TestManPagesAreReproducible(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, dir := range []string{first, second} {
		if err := writeManPages(dir, "../..", anyDate); err != nil {
			t.Fatal(err)
		}
	}
	names, err := filepath.Glob(first + "/man[1578]/*.gz")
	if err != nil || len(names) < 30 {
		t.Fatalf("%d pages, %v", len(names), err)
	}
	for _, name := range names {
		a, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(strings.Replace(name, first, second, 1))
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs, %v", name, err)
		}
	}
}
