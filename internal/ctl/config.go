package ctl

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/config"
	"vxlan-driver/internal/ctl/output"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "check and show the agent's configuration",
		Long:    `Config checks the agent's configuration file, and shows the settings that hold.`,
		Example: "  vxlanctl config check\n  vxlanctl config show",
		Args:    subcommandArg,
		RunE:    printHelp,
	}
	cmd.AddCommand(configCheckCommand(), configShowCommand())
	return cmd
}

// configFile returns the file that is typed, or else the agent's, which need not exist.
func configFile(args []string) (path string, required bool) {
	if len(args) > 0 {
		return args[0], true
	}
	return config.Path, false
}

// configCheck is the outcome of a check.
type configCheck struct {
	File     string           `json:"file"`
	Exists   bool             `json:"exists"`
	Valid    bool             `json:"valid"`
	Problems []config.Problem `json:"problems"`
}

func configCheckCommand() *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "check a configuration file before the agent reads it",
		Long: `Check reads a configuration file as the agent does, with the key file that it names,
and says what is wrong, with line and setting. Without FILE it is
/etc/vxlan/vxland.toml. It ends with 1 if something is wrong.

An agent that runs takes a new configuration by "vxlanctl reload".`,
		Example: `  vxlanctl config check
  vxlanctl config check ./vxland.toml && install -m 644 vxland.toml /etc/vxlan/`,
		Args:              takes(0, 1),
		ValidArgsFunction: completeTOML,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, required := configFile(args)
			return opts.Run(cmd, func(p *output.Printer) error { return checkConfig(p, path, required) })
		},
	}
	opts.AddReportFlags(cmd)
	return cmd
}

func checkConfig(p *output.Printer, path string, required bool) error {
	exists, problems, err := config.Check(path, required)
	if err != nil {
		return fmt.Errorf("check configuration: %w", err)
	}
	found := configCheck{File: path, Exists: exists, Valid: len(problems) == 0}
	found.Problems = append([]config.Problem{}, problems...)
	if !p.Quiet {
		err = p.Report(found, func(out io.Writer) error {
			_, err := io.WriteString(out, found.text())
			return err
		})
	}
	if err == nil && !found.Valid {
		return exitStatus(exitError)
	}
	return err
}

func (c configCheck) text() string {
	switch {
	case !c.Exists:
		return c.File + " does not exist; all defaults hold\n"
	case c.Valid:
		return c.File + " is valid\n"
	}
	var b strings.Builder
	for _, p := range c.Problems {
		place := c.File
		if p.Line > 0 {
			place = fmt.Sprintf("%s:%d", c.File, p.Line)
		}
		output.Fprintf(&b, "%s: %s\n", place, p.Text)
	}
	return b.String()
}

func configShowCommand() *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "show the settings of the agent that hold, and where each comes from",
		Long: `Show lists the agent's settings with the values that hold, and whether a value comes
from the file or is the default. It shows the path of the key file, and no key. Without
FILE it is /etc/vxlan/vxland.toml.`,
		Example: `  vxlanctl config show
  vxlanctl config show --filter 'source!=default'`,
		Args:              takes(0, 1),
		ValidArgsFunction: completeTOML,
		RunE: func(cmd *cobra.Command, args []string) error {
			path, required := configFile(args)
			return opts.Run(cmd, func(p *output.Printer) error {
				settings, err := config.Settings(path, required)
				if err != nil {
					return fmt.Errorf("show configuration: %w", err)
				}
				return output.Listing[config.Setting]{Key: "settings", Columns: settingColumns, Rows: settings}.Print(p)
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(settingColumns))
	return cmd
}

var settingColumns = []output.Column[config.Setting]{
	{Heading: "SETTING", Text: func(s config.Setting) string { return s.Name }},
	{Heading: "VALUE", Text: func(s config.Setting) string { return s.Value }, Shrinks: true},
	{Heading: "SOURCE", Text: func(s config.Setting) string { return s.Source }},
}

// completeTOML completes a configuration file.
func completeTOML(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"toml"}, cobra.ShellCompDirectiveFilterFileExt
}
