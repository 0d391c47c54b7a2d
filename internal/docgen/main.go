// Command docgen writes the reference of options, docs/user/options.md, from the options in package
// network. Run it by `go generate ./internal/docgen` or `make docs`.
package main

import (
	"fmt"
	"os"
)

//go:generate go run . ../../docs/user/options.md

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: docgen FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(os.Args[1], []byte(optionsPage()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}
