package vxlandriver

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// markdown is what the tests of documents read of one. It knows as much of Markdown as this
// project's documents use.
type markdown struct {
	links      []string
	anchors    []string     // of headings, as GitHub makes them
	commands   []string     // code blocks that are indented, which are for a shell; fenced ones are of another kind
	tables     [][][]string // each with its head first: rows of cells
	paragraphs []string     // prose, and items of lists, each on one line: without code, tables, headings, links' targets
}

var (
	inlineCode = regexp.MustCompile("`[^`]+`")
	link       = regexp.MustCompile(`!?\[([^\]]*)\]\(([^)\s]+)\)`)
	listItem   = regexp.MustCompile(`^( *)([-*]|\d+\.) +`)
	heading    = regexp.MustCompile(`^#+ +(.*)$`)
	comment    = regexp.MustCompile(`(?s)<!--.*?-->`)
)

// codeIndent is how far a code block is indented, from where the text around it begins.
const codeIndent = 4

// markdownReader is a markdown under construction.
type markdownReader struct {
	markdown
	paragraph []string
	indent    int  // where the text of the list's item begins; 0 outside of lists
	blank     bool // the line before was
	inFence   bool
	inCode    bool
	inTable   bool
}

// parseMarkdown reads a document.
func parseMarkdown(text string) markdown {
	r := markdownReader{blank: true}
	for line := range strings.Lines(comment.ReplaceAllString(text, "")) {
		r.readLine(strings.TrimRight(line, " \n"))
	}
	r.endParagraph()
	return r.markdown
}

func (r *markdownReader) readLine(line string) {
	trimmed := strings.TrimLeft(line, " ")
	indent := len(line) - len(trimmed)
	blank := r.blank
	r.blank = line == ""
	switch {
	case strings.HasPrefix(trimmed, "```"):
		r.endParagraph()
		r.inFence = !r.inFence
	case r.inFence:
	case line == "":
		r.inTable = false
		r.endParagraph()
	case indent >= r.indent+codeIndent && (blank || r.inCode):
		r.readCommand(line)
	default:
		r.inCode = false
		r.readText(line, trimmed, indent, blank)
	}
}

// readCommand reads a line of a code block. One that follows another after an empty line belongs to
// the same block.
func (r *markdownReader) readCommand(line string) {
	if !r.inCode {
		r.commands = append(r.commands, "")
	}
	r.inCode = true
	r.commands[len(r.commands)-1] += line[r.indent+codeIndent:] + "\n"
}

func (r *markdownReader) readText(line, trimmed string, indent int, blank bool) {
	item := listItem.FindString(line)
	if m := heading.FindStringSubmatch(line); m != nil {
		r.endParagraph()
		r.indent = 0
		r.readLinks(line)
		r.addAnchor(m[1])
		return
	}
	if strings.HasPrefix(trimmed, "|") {
		r.endParagraph()
		r.readLinks(line)
		r.readRow(trimmed)
		return
	}
	switch {
	case item != "":
		r.endParagraph()
		r.indent = len(item)
		trimmed = line[len(item):]
	case blank && indent < r.indent:
		r.indent = 0
	}
	r.paragraph = append(r.paragraph, trimmed)
}

// readRow reads a row of a table. The second one only says that the first is its head.
func (r *markdownReader) readRow(line string) {
	if !r.inTable {
		r.tables = append(r.tables, nil)
	}
	r.inTable = true
	var cells []string
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		cells = append(cells, strings.TrimSpace(cell))
	}
	if last := len(r.tables) - 1; !strings.HasPrefix(cells[0], "---") {
		r.tables[last] = append(r.tables[last], cells)
	}
}

// readLinks skips code, in which brackets mean something else.
func (r *markdownReader) readLinks(text string) {
	for _, m := range link.FindAllStringSubmatch(inlineCode.ReplaceAllString(text, "CODE"), -1) {
		r.links = append(r.links, m[2])
	}
}

// addAnchor makes a heading's anchor: lower case, words and hyphens only, and a number where it
// repeats one.
func (r *markdownReader) addAnchor(title string) {
	title = link.ReplaceAllString(title, "$1")
	anchor := strings.Map(func(c rune) rune {
		switch {
		case c == ' ':
			return '-'
		case c == '-' || c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c):
			return unicode.ToLower(c)
		}
		return -1
	}, title)
	for n, first := 1, anchor; slices.Contains(r.anchors, anchor); n++ {
		anchor = fmt.Sprintf("%s-%d", first, n)
	}
	r.anchors = append(r.anchors, anchor)
}

// endParagraph also has code be one word, however long.
func (r *markdownReader) endParagraph() {
	text := strings.Join(r.paragraph, " ")
	r.paragraph = nil
	if text == "" {
		return
	}
	r.readLinks(text)
	text = link.ReplaceAllString(inlineCode.ReplaceAllString(text, "CODE"), "$1")
	r.paragraphs = append(r.paragraphs, strings.ReplaceAll(text, "*", ""))
}

// sentenceEnd is a full stop, question or exclamation mark, perhaps in quotes or brackets, before
// what begins a sentence: no address and no abbreviation goes on with a capital letter.
var sentenceEnd = regexp.MustCompile(`[.!?][")”]*\s+["(“]*[\p{Lu}]`)

// splitSentences splits a paragraph.
func splitSentences(text string) (all []string) {
	for {
		at := sentenceEnd.FindStringIndex(text)
		if at == nil {
			break
		}
		end := at[0] + strings.IndexAny(text[at[0]:], " \t\n")
		all = append(all, text[:end])
		text = strings.TrimSpace(text[end:])
	}
	if text != "" {
		all = append(all, text)
	}
	return all
}

// countWords counts what has a letter or a digit in it.
func countWords(s string) (n int) {
	for word := range strings.FieldsSeq(s) {
		if strings.ContainsFunc(word, func(c rune) bool { return unicode.IsLetter(c) || unicode.IsDigit(c) }) {
			n++
		}
	}
	return n
}
