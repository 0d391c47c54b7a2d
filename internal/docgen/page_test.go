package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"vxlan-driver/internal/network"
)

func TestPagesAreUpToDate(t *testing.T) {
	for path, page := range pages {
		text, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		if string(text) != page() {
			t.Errorf("%s is not what the code says; run make docs", path)
		}
	}
}

// A remedy is of use only with the message that the user sees.
func TestDocumentedErrorsAreInTheCode(t *testing.T) {
	var source strings.Builder
	for _, dir := range []string{"../network", "../ipam", "../definition"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, "/optiondoc.go") {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(data)
		}
	}
	for _, d := range network.OptionDocs() {
		for _, e := range d.Errors {
			if !strings.Contains(source.String(), e.Text) {
				t.Errorf("option %s: no error has the text %q", d.Name, e.Text)
			}
		}
	}
}

var sentenceEnd = regexp.MustCompile(`[.:;]( |$)|\n`)

// maxWords is what a reader takes in at once.
const maxWords = 20

func TestOptionSentencesAreShort(t *testing.T) {
	for _, d := range network.OptionDocs() {
		for _, sentence := range sentenceEnd.Split(d.Summary+"\n"+d.Details, -1) {
			if n := len(strings.Fields(sentence)); n > maxWords {
				t.Errorf("option %s: a sentence has %d words: %s", d.Name, n, sentence)
			}
		}
	}
}

func TestWrapText(t *testing.T) {
	long := strings.Repeat("word ", 30)
	for _, line := range strings.Split(wrapText(long, "- ", "  "), "\n") {
		if len(line) > lineWidth {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if got := wrapText(" a  b ", "- ", "  "); got != "- a b\n" {
		t.Errorf("got %q", got)
	}
}
