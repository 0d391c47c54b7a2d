package ctl

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
)

// Host is the host that the subcommands act on.
type Host interface {
	// Reload reconciles this host's networks with the kernel, and returns their number.
	Reload() (networks int, err error)
	// Status returns what the host's agent knows.
	Status() (agentapi.StatusReport, error)
}

const longHelp = `vxlanctl shows and repairs the VXLAN networks of Podman containers on this host.

A network's devices and firewall rules exist while a container on this host uses
the network. If another program removes some of them meanwhile, such as
"nft flush ruleset", run "vxlanctl reload".`

// Command returns the root command, which acts on host and prints to out.
func Command(host Host, version string, out io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use: "vxlanctl", Short: "show and repair this host's VXLAN networks", Long: longHelp,
		Version: version, SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetOut(out)
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.AddCommand(reloadCommand(host), statusCommand(host))
	return root
}

func reloadCommand(host Host) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "restore the firewall rules, devices and kernel parameters of all networks",
		Long: `Reload restores what this host's networks need: the nftables tables
"inet vxlan-driver" and "bridge vxlan-driver", bridges, VXLAN devices, kernel
parameters, and firewalld's trusted zone.

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
