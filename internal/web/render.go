package web

import (
	"embed"
	"html/template"
	"io"
	"strings"
)

//go:embed assets
var assets embed.FS

var templates = template.Must(template.ParseFS(assets, "assets/*.html"))

// renderSection makes HTML of a section. The template escapes all that is text.
func renderSection(s Section) string {
	var b strings.Builder
	if err := templates.ExecuteTemplate(&b, "section.html", s); err != nil {
		return "" // it has the fields that the template names, and a Builder takes all
	}
	return b.String()
}

// page is what the template of the page shows.
type page struct {
	Title    string
	Sections []pageSection
	Files    []string
}

type pageSection struct {
	ID, Title string
	HTML      template.HTML
}

// renderPage writes the whole page.
func renderPage(out io.Writer, title string, sections []renderedSection, files []string) error {
	p := page{Title: title, Files: files}
	for _, s := range sections {
		p.Sections = append(p.Sections, pageSection{s.ID, s.Title, template.HTML(s.HTML)}) // renderSection's
	}
	return templates.ExecuteTemplate(out, "page.html", p)
}
