package ctl

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Host is the host that the subcommands act on.
type Host interface {
	Capturer
	ClusterHost
	Tracer
	// Reload reconciles this host's networks with the kernel, and returns their number. It starts
	// the agent where a container needs it, and restarts one whose program or configuration
	// changed.
	Reload() (networks int, err error)
	// ContainersWithAgent counts the containers that need the agent.
	ContainersWithAgent() (int, error)
	// Cleanup removes all that the driver has on the host. It refuses while containers use it,
	// unless forced. It returns the networks that Podman still has.
	Cleanup(force bool) (networks []string, err error)
}

const longHelp = `vxlanctl shows and repairs the VXLAN networks of Podman containers on this host.

A network's devices and firewall rules exist while a container on this host uses
the network. If another program removes some of them meanwhile, such as
"nft flush ruleset", run "vxlanctl reload". Run it also after an upgrade, or after
a change of /etc/vxlan/vxland.toml.`

// Command returns the root command, which acts on host and prints to out.
func Command(host Host, version string, out io.Writer) *cobra.Command {
	root := &cobra.Command{
		Args: subcommandArg, RunE: printHelp, Use: "vxlanctl", Short: "show and repair this host's VXLAN networks", Long: longHelp,
		Version: version, SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SuggestionsMinimumDistance = 2
	root.SetOut(out)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.AddCommand(reloadCommand(host), statusCommand(host, version), cleanupCommand(host), hostCommand(host), explainCommand(), captureCommand(host), dropsCommand(host),
		initCommand(host), joinCommand(host), leaveCommand(host), tokenCommand(host), keyCommand(host), networkCommand(host))
	markUsageErrors(root)
	return root
}

func reloadCommand(host Host) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "restore the firewall rules, devices and kernel parameters of all networks",
		Long: `Reload restores what this host's networks need: the nftables tables
"inet vxlan-driver" and "bridge vxlan-driver", bridges, VXLAN devices, kernel
parameters, and firewalld's trusted zone. If a container needs the agent (vxland)
and none runs, it starts one. If the agent's program or configuration has changed,
it restarts the agent, which takes a moment.

Run it after "nft flush ruleset" or "firewall-cmd --reload". You can run it at any
time, and containers keep running. It replaces the two tables in one step, which
resets their counters. It changes nothing else that is in order, and no other
program's tables.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := host.Reload()
			if err != nil {
				return fmt.Errorf("reload: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "reloaded %d networks\n", n)
			return nil
		},
	}
}

// printHelp is what a command does that only has subcommands.
func printHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// subcommandArg refuses an argument that is no subcommand, and names those that are like it.
func subcommandArg(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "; did you mean " + strings.Join(similar, " or ") + "?"
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
}
