package ctl

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/installed"
)

// Host is the host that the subcommands act on. Each has an interface of what it needs of it.
type Host interface {
	Reloader
	Cleaner
	ClusterStatusSource
	HostForgetter
	NetworkMover
	ForwardingSource
	Capturer
	ClusterHost
	Tracer
	MetricSource
	Pinger
	PathTracer
	Patient
	EventSource
	Waiter
	EncryptionHost
}

var longHelp = `vxlanctl shows and repairs the VXLAN networks of Podman containers on this host.

A network's devices and firewall rules exist while a container on this host uses
the network. If another program removes some of them meanwhile, such as
"nft flush ruleset", run "vxlanctl reload". Run it also after an upgrade, or after
a change of /etc/vxlan/vxland.toml.

Pages for administrators are in ` + installed.Page("") + `.

It ends with 0 if all went well, with 1 after an error, and with 2 if it was not
typed as it should be. "doctor" and "status --check" have codes of their own.`

// Command returns the root command, which acts on host and prints to out.
func Command(host Host, version string, out io.Writer) *cobra.Command {
	root := &cobra.Command{
		Args: subcommandArg, RunE: printHelp, Use: "vxlanctl", Short: "show and repair this host's VXLAN networks",
		Long:    longHelp,
		Example: "  vxlanctl status\n  vxlanctl explain VX0301",
		Version: version, SilenceUsage: true, SilenceErrors: true,
	}
	root.SetOut(output.Safe(out))
	root.SetErr(output.Safe(os.Stderr))
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	for _, g := range commandGroups(host, version) {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title + ":"})
		for _, c := range g.commands {
			c.GroupID = g.title
			root.AddCommand(c)
		}
	}
	for _, path := range rootOnly {
		c, _, _ := root.Find(strings.Fields(path)) // a test finds them all
		requireRoot(host, c)
	}
	completeByNothing(root)
	root.SetHelpCommandGroupID(scriptGroup)
	root.SetCompletionCommandGroupID(scriptGroup)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Short, c.Args = "say more of a command", helpArgs
		case "completion":
			c.Short = "print a script with which a shell completes what is typed"
			c.Args, c.RunE = subcommandArg, printHelp
		}
	}
	markUsageErrors(root)
	return root
}

// commandGroup is a heading of the help, and the commands below it.
type commandGroup struct {
	title    string
	commands []*cobra.Command
}

// scriptGroup also has the commands that are cobra's own.
const scriptGroup = "For scripts and shells"

// commandGroups returns all commands, for a reader who knows what he wants and not how it is called.
func commandGroups(host Host, version string) []commandGroup {
	return []commandGroup{
		{"See what there is", []*cobra.Command{
			statusCommand(host, version), networkCommand(host), hostCommand(host), endpointsCommand(host),
			namesCommand(host), addressCommand(host), conflictsCommand(host), fdbCommand(host), encryptionCommand(host),
			topologyCommand(host),
			topCommand(host, version), webCommand(host, version), eventsCommand(host), configCommand(),
		}},
		{"Find out what is wrong", []*cobra.Command{
			doctorCommand(host), explainCommand(host), meshCommand(host), pingCommand(host), traceCommand(host),
			dropsCommand(host), captureCommand(host), bundleCommand(host, version),
		}},
		{"Make and change a cluster", []*cobra.Command{
			initCommand(host), joinCommand(host), leaveCommand(host), tokenCommand(host), keyCommand(host),
		}},
		{"Repair and clean up", []*cobra.Command{reloadCommand(host), cleanupCommand(host)}},
		{scriptGroup, []*cobra.Command{waitCommand(host), metricsCommand(host)}},
	}
}

// rootOnly are commands that change the host, and do not look for themselves who types them.
var rootOnly = []string{"reload", "cleanup", "network set", "network rm", "network peer add", "network peer remove",
	"network move"}

// requireRoot refuses other users before anything is looked at, since Podman tells them of networks of
// their own.
func requireRoot(host ClusterHost, cmd *cobra.Command) {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := host.CheckRoot(); err != nil {
			return fmt.Errorf("%s: %w", commandName(cmd), err)
		}
		return run(cmd, args)
	}
}

// suggestionDistance is how many letters may be wrong in a command that is like another one.
const suggestionDistance = 2

// printHelp is what a command does that only has subcommands.
func printHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// subcommandArg refuses an argument that is no subcommand, and names those that are like it.
func subcommandArg(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = suggestionDistance
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "; did you mean " + strings.Join(similar, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
}
