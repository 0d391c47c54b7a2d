package docstest

import (
	"fmt"
	"regexp"
	"strings"

	"vxlan-driver/lab"
)

// block is a code block of a page, and where it stands.
type block struct {
	section string // the heading of level 2
	host    string // the heading of level 3: "On host A", "On every host"
	script  string
	skipped bool // after a comment that says why, see notRun
	line    int
}

// notRun begins a comment before a block that the test does not type, such as one that installs the
// programs, which the lab does itself.
const notRun = "<!-- not run by the test"

// step is where a list's item begins, whose code blocks are indented further.
var step = regexp.MustCompile(`^\d+\. +`)

// readBlocks returns the indented code blocks of a page; fenced ones are no commands.
func readBlocks(page string) (blocks []block) {
	var section, host string
	indent, skip, fenced, inBlock := 0, false, false, false
	number := 0
	for line := range strings.Lines(page) {
		number++
		line = strings.TrimRight(line, "\n")
		code := strings.Repeat(" ", indent+4)
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case fenced, line == "":
			inBlock = inBlock && !fenced
		case strings.HasPrefix(line, "## "):
			section, host, indent, skip, inBlock = line[3:], "", 0, false, false
		case strings.HasPrefix(line, "### "):
			host, indent, skip, inBlock = line[4:], 0, false, false
		case strings.HasPrefix(line, notRun):
			skip = true
		case strings.HasPrefix(line, code):
			if !inBlock {
				blocks = append(blocks, block{section: section, host: host, skipped: skip, line: number})
				skip = false
			}
			inBlock = true
			blocks[len(blocks)-1].script += line[len(code):] + "\n"
		default:
			inBlock = false
			if item := step.FindString(line); item != "" {
				indent = len(item)
			} else if !strings.HasPrefix(line, " ") {
				indent = 0
			}
		}
	}
	return blocks
}

// hostNames returns the hosts of the lab that a heading is for.
func hostNames(heading string, l *lab.Lab) (names []string, err error) {
	switch heading {
	case "On every host":
		for _, h := range l.Hosts() {
			names = append(names, h.Name())
		}
		return names, nil
	case "On both hosts":
		return []string{"host-a", "host-b"}, nil
	case "On the server": // beside them, in a lab of three
		return []string{"host-c"}, nil
	}
	name := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(heading, "On "), " ", "-"))
	if l.Host(name) == nil {
		return nil, fmt.Errorf("heading %q: must be On every host, On both hosts, On the server, On host A or On host B",
			heading)
	}
	return []string{name}, nil
}
