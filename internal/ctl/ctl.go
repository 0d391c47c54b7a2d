package ctl

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
)

// Host is what the subcommands act on.
type Host interface {
	// Reload makes the host hold what its networks ask for, and tells how many
	// networks there are.
	Reload() (networks int, err error)
	// Status returns what the host's agent knows.
	Status() (agentapi.StatusReport, error)
}

const longHelp = `vxlanctl looks after the VXLAN networks of this host's Podman containers.

The plugin builds a network when its first container starts and removes it with
the last one. Between the two, other programs may undo what it did; vxlanctl
puts that right.`

// Command returns the program's command, which acts on host and prints to out.
func Command(host Host, version string, out io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use: "vxlanctl", Short: "look after this host's VXLAN networks", Long: longHelp,
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
		Short: "rebuild firewall rules, devices and parameters from what is recorded in /run/vxlan",
		Long: `Reload makes the host hold what its networks ask for: the nftables tables
"inet vxlan-driver" and "bridge vxlan-driver", bridges and VXLAN devices, kernel
parameters, and firewalld's trusted zone.

Run it after "nft flush ruleset" or "firewall-cmd --reload". It can be run at any
time: the tables are replaced in one step, their counters start anew, and of the
rest only what differs is changed. Other programs' tables are not touched.`,
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
