package ctl

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/config"
	"vxlan-driver/internal/ctl/output"
)

// AgentConfigured knows how the agent is configured.
type AgentConfigured interface {
	AgentConfig() (config.Config, error)
}

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

// configFiles returns the file that is typed in place of the agent's, which need not exist.
func configFiles(args []string) config.Files {
	if len(args) > 0 {
		return config.Files{Path: args[0], Required: true, ClusterPath: config.ClusterPath}
	}
	return config.FilesAt(config.Path)
}

// configCheck is the outcome of a check.
type configCheck struct {
	File     string           `json:"file"`
	Exists   bool             `json:"exists"`
	Valid    bool             `json:"valid"`
	Problems []config.Problem `json:"problems"`

	validText string
}

func configCheckCommand() *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "check a configuration file before the agent reads it",
		Long: `Check reads a configuration file as the agent does, with the key file that it names
and what "vxlanctl init" or "vxlanctl join" has set in /etc/vxlan/cluster.toml. It says
what is wrong, with file, line and setting. Without FILE it is /etc/vxlan/vxland.toml.
It ends with 1 if something is wrong.

An agent that runs takes a new configuration by "vxlanctl reload".`,
		Example: `  vxlanctl config check
  vxlanctl config check ./vxland.toml && install -m 644 vxland.toml /etc/vxlan/`,
		Args:              takes(0, 1),
		ValidArgsFunction: completeTOML,
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.Run(cmd, func(p *output.Printer) error { return checkConfig(p, configFiles(args)) })
		},
	}
	opts.AddReportFlags(cmd)
	return cmd
}

func checkConfig(p *output.Printer, files config.Files) error {
	problems, err := files.Check()
	if err != nil {
		return fmt.Errorf("check configuration: %w", err)
	}
	found := configCheck{File: files.Path, Valid: len(problems) == 0, validText: files.ExplainValid()}
	_, statErr := os.Stat(files.Path)
	found.Exists = statErr == nil
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
	if c.Valid {
		return c.validText + "\n"
	}
	var b strings.Builder
	for _, p := range c.Problems {
		place := p.File
		if p.Line > 0 {
			place = fmt.Sprintf("%s:%d", p.File, p.Line)
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
		Long: `Show lists the agent's settings with the values that hold, and from which file each
comes: FILE, or else /etc/vxlan/vxland.toml, or /etc/vxlan/cluster.toml, which "vxlanctl
init" and "vxlanctl join" write. The others are defaults. It shows the path of the key
file, and no key.`,
		Example: `  vxlanctl config show
  vxlanctl config show --filter 'source!=default'`,
		Args:              takes(0, 1),
		ValidArgsFunction: completeTOML,
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				settings, err := configFiles(args).Settings()
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
