package main

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"vxlan-driver/internal/ctl"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/installed"
)

const (
	manSource = "vxlan-driver"
	manManual = "VXLAN networks of Podman"
)

//go:embed vxland.8.md
var agentPage string

// writeManPages writes all man pages below dir, as man1/vxlanctl.1.gz. They are made of the files and
// commands of the repository at root. The same date gives the same bytes.
func writeManPages(dir, root string, date time.Time) error {
	pages, err := manPages(root, date)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		path := filepath.Join(dir, "man"+strings.TrimPrefix(filepath.Ext(name), "."), name+".gz")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		zipped, err := compress(pages[name])
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, zipped, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manPages returns the pages by their names, such as vxlanctl-status.1.
func manPages(root string, date time.Time) (map[string][]byte, error) {
	config, err := os.ReadFile(filepath.Join(root, "docs/user/config.md"))
	if err != nil {
		return nil, err
	}
	pages := map[string][]byte{
		"vxlan-codes.7": []byte(diagnosis.ManPage()),
		"vxland.8":      renderMarkdown("vxland", "8", date, strings.ReplaceAll(agentPage, "PAGES", installed.Page(""))),
		"vxland.toml.5": renderMarkdown("vxland.toml", "5", date, configManText(string(config))),
	}
	tool := ctl.Command(nil, "", io.Discard)
	tool.DisableAutoGenTag = true // it has the day of the build
	return pages, addCommandPages(pages, tool, date)
}

// addCommandPages adds the page of a command and those of its subcommands.
func addCommandPages(pages map[string][]byte, cmd *cobra.Command, date time.Time) error {
	var b bytes.Buffer
	header := &doc.GenManHeader{Section: "1", Date: &date, Source: manSource, Manual: manManual}
	cmd.Long = cmd.Long + listSubcommands(cmd)
	if err := doc.GenMan(cmd, header, &b); err != nil {
		return fmt.Errorf("man page of %s: %w", cmd.CommandPath(), err)
	}
	pages[strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"] = b.Bytes()
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
			continue
		}
		if err := addCommandPages(pages, sub, date); err != nil {
			return err
		}
	}
	return nil
}

// listSubcommands returns a list of the subcommands below the headings of the help, as the library
// only names them at a page's end.
func listSubcommands(cmd *cobra.Command) string {
	groups := cmd.Groups()
	if len(groups) == 0 {
		groups = []*cobra.Group{{Title: "Its commands:"}}
	}
	var b strings.Builder
	for _, g := range groups {
		var list strings.Builder
		for _, sub := range cmd.Commands() {
			if sub.IsAvailableCommand() && sub.GroupID == g.ID {
				fmt.Fprintf(&list, "    %-*s %s\n", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
		if list.Len() > 0 {
			fmt.Fprintf(&b, "\n\n%s\n\n%s", g.Title, list.String())
		}
	}
	return b.String()
}

// renderMarkdown turns a page's text into a man page.
func renderMarkdown(name, section string, date time.Time, text string) []byte {
	head := fmt.Sprintf("%% %q %q %q %q %q\n", strings.ToUpper(name), section, date.UTC().Format("Jan 2006"), manSource,
		manManual)
	return md2man.Render([]byte(head + text))
}

var (
	markdownLink = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	// markdownAside is a link that stands alone between parentheses.
	markdownAside = regexp.MustCompile(`\s*\(\[[^\]]*\]\([^)]*\)\)`)
	markdownHead  = regexp.MustCompile(`(?m)^(#+) (.*)$`)
	tableHead     = regexp.MustCompile(`(?m)^\| key .*\n\|[-|]+\n`)
	tableRow      = regexp.MustCompile(`(?m)^\| ` + "`(.*?)`" + ` \| (.*?) \| (.*?) \|$`)
)

// configManText makes vxland.toml(5) of the page for users. Links lead nowhere in a man page, and its
// table would be wider than a terminal.
func configManText(page string) string {
	_, text, _ := strings.Cut(page, "\n") // its title
	text = markdownAside.ReplaceAllString(text, "")
	text = markdownLink.ReplaceAllString(text, "$1")
	text = tableHead.ReplaceAllString(text, "")
	text = tableRow.ReplaceAllString(text, "**$1**\n: $2; default: $3\n")
	text = markdownHead.ReplaceAllString(text, "$1# $2") // below DESCRIPTION
	return "# NAME\nvxland.toml - configuration of the agent of VXLAN networks\n\n# DESCRIPTION\n" + text +
		"\n# FILES\n/etc/vxlan/vxland.toml, /etc/vxlan/cluster.toml\n\n# SEE ALSO\n**vxland(8)**, **vxlanctl-config(1)**\n"
}

// compress leaves the name and the time out of the header.
func compress(text []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	err = w.Close() // before what was written is taken
	return b.Bytes(), err
}
