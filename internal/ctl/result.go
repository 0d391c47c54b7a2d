package ctl

import (
	"io"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
)

// progressOf is where a command says what it does meanwhile: not among what a script reads.
func progressOf(cmd *cobra.Command, p *output.Printer) io.Writer {
	if p.IsForScripts() {
		return cmd.ErrOrStderr()
	}
	return cmd.OutOrStdout()
}

// result is what an action did.
type result struct {
	object any
	quiet  []string              // lines of -q
	text   func(io.Writer) error // for people; nil: they were told meanwhile
}

// print prints what the user wants to know of an action.
func (r result) print(p *output.Printer) error {
	return p.Report(r.object, func(out io.Writer) error {
		switch {
		case p.Quiet:
			return printLines(out, r.quiet)
		case r.text != nil:
			return r.text(out)
		}
		return nil
	})
}

func printLines(out io.Writer, lines []string) error {
	for _, line := range lines {
		if _, err := output.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}
