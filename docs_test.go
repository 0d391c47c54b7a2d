package vxlandriver

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// A README is for somebody who has five minutes and a terminal.
const (
	maxREADMELines = 120
	maxColumns     = 100
)

func TestREADMEIsShort(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(readFile(t, "README.md"), "\n"), "\n")
	if len(lines) > maxREADMELines {
		t.Errorf("README.md has %d lines, more than %d", len(lines), maxREADMELines)
	}
	for i, line := range lines {
		if n := utf8.RuneCountInString(line); n > maxColumns {
			t.Errorf("README.md:%d has %d columns, more than %d", i+1, n, maxColumns)
		}
	}
}

// Each relative link of each document leads to a file that is there, and to a heading that is in
// it.
func TestLinksResolve(t *testing.T) {
	for _, path := range documents(t, ".") {
		for _, target := range readDocument(t, path).links {
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(target, "#")
			linked := path
			if file != "" {
				linked = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(linked); err != nil {
				t.Errorf("%s: %s: there is no %s", path, target, linked)
				continue
			}
			if anchor != "" && !slices.Contains(readDocument(t, linked).anchors, anchor) {
				t.Errorf("%s: %s: %s has no such heading", path, target, linked)
			}
		}
	}
}

// Commands in documents for users are at least such that a shell can read them.
func TestCommandsAreReadByAShell(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("no bash")
	}
	for _, path := range userDocuments(t) {
		for _, block := range readDocument(t, path).commands {
			if strings.Contains(block, "│") {
				continue // a picture
			}
			check := exec.Command("bash", "-n")
			check.Stdin = strings.NewReader(block)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s\n%s", path, err, out, block)
			}
		}
	}
}

// messageColumns are the headings of columns that quote messages of the programs.
var messageColumns = []string{"error", "refused", "what it says", "line"}

// What the page about faults quotes of messages is what the programs print.
func TestQuotedMessagesExist(t *testing.T) {
	const path = "docs/user/troubleshooting.md"
	source := readSources(t)
	quoted := 0
	for _, table := range readDocument(t, path).tables {
		if !slices.Contains(messageColumns, table[0][0]) {
			continue
		}
		for _, row := range table[1:] {
			for _, message := range inlineCode.FindAllString(row[0], -1) {
				message = strings.TrimPrefix(strings.Trim(message, "`"), "refused, ")
				if strings.HasPrefix(message, "failed to find driver") {
					continue // Podman's
				}
				quoted++
				// An ellipsis stands for what differs.
				for part := range strings.SplitSeq(message, "…") {
					if part = strings.Trim(part, " :,"); !strings.Contains(source, part) {
						t.Errorf("%s quotes %q, which no program prints (%q)", path, message, part)
					}
				}
			}
		}
	}
	if quoted < 20 {
		t.Errorf("found only %d quoted messages", quoted)
	}
}

// readSources returns the programs' source, without tests.
func readSources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, path := range list(t, `{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}`, "./internal/...", "./cmd/...") {
		all.WriteString(readFile(t, path))
	}
	return all.String()
}

// Of a document's sentences half have at most medianWords words, and nine in ten at most manyWords.
// Longer ones have more than one idea.
const (
	medianWords = 16
	manyWords   = 25
)

func TestSentencesAreShort(t *testing.T) {
	var all []sentence
	for _, path := range userDocuments(t) {
		var own []sentence
		for _, text := range readDocument(t, path).paragraphs {
			for _, s := range splitSentences(text) {
				own = append(own, sentence{path, s, countWords(s)})
			}
		}
		checkSentences(t, path, own)
		all = append(all, own...)
	}
	checkSentences(t, "all documents for users", all)
}

// sentence is one of a document.
type sentence struct {
	path, text string
	words      int
}

// checkSentences fails with the longest ones if they are too long as a whole.
func checkSentences(t *testing.T, where string, all []sentence) {
	t.Helper()
	if len(all) == 0 {
		t.Errorf("%s has no sentences", where)
		return
	}
	slices.SortFunc(all, func(a, b sentence) int { return b.words - a.words })
	median, many := all[len(all)/2].words, all[len(all)/10].words
	t.Logf("%s: %d sentences, median %d words, 90 %% at most %d, longest %d", where, len(all), median, many, all[0].words)
	if median > medianWords || many > manyWords {
		t.Errorf("%s: half of the sentences have at most %d words (want %d), 90 %% at most %d (want %d); the longest:",
			where, median, medianWords, many, manyWords)
		for _, s := range all[:min(len(all), 10)] {
			t.Errorf("  %d words, %s: %s", s.words, s.path, s.text)
		}
	}
}

// The measure itself: what it reads of a document.
func TestParseMarkdown(t *testing.T) {
	m := parseMarkdown("# A `b` heading\n\nOne [link\nhere](x.md#y) and\n*two* lines. Then `code in ticks. Not` more.\n\n" +
		"    a command\n    another\n\n- An item\n  goes on.\n\n      its command\n\n- Next.\n\n| a | [l](t.md) |\n|---|---|\n\n" +
		"```text\nskipped [no](no.md)\n```\n\n<!-- a\ncomment -->\n\n## A `b` heading\n\nWhat? \"Yes.\" It has 10.0.0.2 (see RFC 7348). End")
	for _, tt := range []struct {
		what      string
		got, want []string
	}{
		{"links", m.links, []string{"x.md#y", "t.md"}},
		{"anchors", m.anchors, []string{"a-b-heading", "a-b-heading-1"}},
		{"commands", m.commands, []string{"a command\nanother\n", "its command\n"}},
		{"paragraphs", m.paragraphs, []string{
			"One link here and two lines. Then CODE more.", "An item goes on.", "Next.", "What? \"Yes.\" It has 10.0.0.2 (see RFC 7348). End",
		}},
		{"sentences", splitSentences(m.paragraphs[3]), []string{"What?", "\"Yes.\"", "It has 10.0.0.2 (see RFC 7348).", "End"}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: got %q, want %q", tt.what, tt.got, tt.want)
		}
	}
	if want := [][][]string{{{"a", "[l](t.md)"}}}; !reflect.DeepEqual(m.tables, want) {
		t.Errorf("tables: got %q, want %q", m.tables, want)
	}
	if n := countWords("A host – the first – has 10.0.0.2."); n != 6 {
		t.Errorf("%d words", n)
	}
}

// userDocuments are those of the root directory and of docs/user.
func userDocuments(t *testing.T) []string {
	return append([]string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"}, documents(t, "docs/user")...)
}

// documents are the paths of all Markdown files below a directory.
func documents(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return fs.SkipDir
		}
		if err == nil && filepath.Ext(path) == ".md" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// parsedDocuments are documents by their paths: many a link leads to the same one, and several tests look at it.
var parsedDocuments = map[string]markdown{}

func readDocument(t *testing.T, path string) markdown {
	t.Helper()
	document, known := parsedDocuments[path]
	if !known {
		document = parseMarkdown(readFile(t, path))
		parsedDocuments[path] = document
	}
	return document
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
