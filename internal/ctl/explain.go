package ctl

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/diagnosis"
)

func explainCommand(host AgentConfigured) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "explain [CODE]",
		Short: "say what a code such as VX0301 means, what causes it and what to do",
		Long: `Explain says what a code means that "vxlanctl doctor" or "vxlanctl status" prints,
what usually causes it, and what to do. Without a code it lists all codes.`,
		Example: `  vxlanctl explain VX0301
  vxlanctl explain --filter code='VX03*'`,
		Args: takes(0, 1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (codes []string, _ cobra.ShellCompDirective) {
			for _, e := range diagnosis.Entries() {
				if len(args) == 0 {
					codes = append(codes, cobra.CompletionWithDesc(string(e.Code), e.Title))
				}
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				if len(args) == 0 {
					return output.Listing[diagnosis.Entry]{Key: "codes", Columns: codeColumns, Rows: diagnosis.Entries()}.Print(p)
				}
				return explain(p, host, args[0])
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(codeColumns))
	return cmd
}

var codeColumns = []output.Column[diagnosis.Entry]{
	{Heading: "CODE", Text: func(e diagnosis.Entry) string { return string(e.Code) }},
	{Heading: "MEANING", Text: func(e diagnosis.Entry) string { return e.Title }, Shrinks: true},
}

func explain(p *output.Printer, host AgentConfigured, code string) error {
	e, known := diagnosis.Explain(code)
	if !known {
		return usageError(fmt.Errorf("explain: there is no code %q; `vxlanctl explain` lists all", code))
	}
	if c, err := host.AgentConfig(); err == nil { // what is wrong with it is another command's to say
		e = e.WithAgentsPort(c.Port)
	}
	return p.Report(e, func(out io.Writer) error {
		_, err := io.WriteString(out, e.Text())
		return err
	})
}
