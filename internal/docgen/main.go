// Command docgen writes the pages that are made from code: the reference of options from package
// network, and the codes of faults from package diagnosis. Run it by `make docs`. With -man it writes
// the man pages, which are no part of the source: `make share` does that.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

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
	man := flag.String("man", "", "write man pages into this `directory`, and nothing else")
	date := flag.Int64("date", 0, "the man pages' date, in `seconds` since 1970")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: docgen [-man DIRECTORY [-date SECONDS]] REPOSITORY")
		os.Exit(2)
	}
	write := writePages
	if *man != "" {
		write = func(root string) error { return writeManPages(*man, root, time.Unix(*date, 0).UTC()) }
	}
	if err := write(flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

func writePages(root string) error {
	for path, page := range pages {
		if err := os.WriteFile(filepath.Join(root, path), []byte(page()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
