package web

import "time"

// Section is a part of the page, with its heading. All of it is plain text.
type Section struct {
	ID, Title string
	Level     string // ok, warning, failure or unknown; empty: it has none
	Lead      string // a sentence
	Announced bool   // a screen reader reads the sentence out when it changes
	Notices   []Notice
	Table     *Table
	Picture   *Picture
	Foot      string
}

// Notice is something that is wrong.
type Notice struct {
	Level, Code, Text string
	Evidence          []string
	Mend              []string // commands, or sentences
}

// Table has a heading for each column.
type Table struct {
	Headings []string
	Rows     []Row
}

// Row has a text for each column. The first one names the row.
type Row struct {
	Level string // as that of a Section
	Cells []string
}

// Picture is a File, with what it shows in words.
type Picture struct{ Path, Alt string }

// File is what the server has beside the page.
type File struct {
	Path, Type string
	Data       func() ([]byte, error) // is called for each request
}

// Content is what a Part has read.
type Content struct {
	Sections []Section
	Files    []File
}

// Part of the page is read again and again while somebody looks at the page.
type Part struct {
	// Sections are what is shown before the first Read. They have the order of the page.
	Sections []Section
	// Every is the time from one Read to the next. If Read takes longer, it is as long as that.
	Every time.Duration
	// Read is not called twice at once. What cannot be read it says in a section.
	Read func() Content
}
