package ctl

import (
	"fmt"
	"hash/crc32"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
	"vxlan-driver/internal/web"
)

func notices(findings []diagnosis.Finding) (all []web.Notice) {
	for _, f := range findings {
		all = append(all, web.Notice{
			Level: f.Level.String(), Code: string(f.Code), Text: namedSummary(f), Evidence: f.Evidence, Mend: mends(f),
		})
	}
	return all
}

// webTable is a listing with a level a row; nil: rows have none.
func webTable[T any](l output.Listing[T], level func(T) diagnosis.Level) *web.Table {
	cells := l.Cells()
	t := &web.Table{Headings: cells[0]}
	for i, line := range cells[1:] {
		row := web.Row{Cells: line}
		if level != nil {
			row.Level = level(l.Rows[i]).String()
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func bounded[T any](rows []T) []T { return rows[:min(len(rows), maxWebRows)] }

func boundedNote(n int, command string) string {
	if n <= maxWebRows {
		return ""
	}
	return fmt.Sprintf("and %d more: %s", n-maxWebRows, command)
}

func jsonFile(name string, object any) web.File {
	document := func() ([]byte, error) { return output.Document(object, false) }
	return web.File{Path: "/json/" + name, Type: web.TypeJSON, Data: document}
}

// missingFile says why there is none.
func missingFile(name string, err error) web.File {
	return web.File{Path: "/json/" + name, Type: web.TypeJSON, Data: func() ([]byte, error) { return nil, err }}
}

// pictureSum is another one for another picture, as good as always.
func pictureSum(svg []byte) uint32 { return crc32.ChecksumIEEE(svg) }
