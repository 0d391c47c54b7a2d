// Command docgen writes the pages that are made from code: the reference of options from package
// network, and the codes of faults from package diagnosis. Run it by `make docs`.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"vxlan-driver/internal/diagnosis"
)

//go:generate go run . ../..

// pages are the files that are made, below the root of the repository.
var pages = map[string]func() string{
	"docs/user/options.md":                   optionsPage,
	"docs/user/codes.md":                     diagnosis.CodesPage,
	"packaging/man/vxlan-codes.7":            diagnosis.ManPage,
	"packaging/journal/vxlan-driver.catalog": diagnosis.JournalCatalog,
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: docgen DIRECTORY")
		os.Exit(2)
	}
	for path, page := range pages {
		if err := os.WriteFile(filepath.Join(os.Args[1], path), []byte(page()), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "docgen:", err)
			os.Exit(1)
		}
	}
}
