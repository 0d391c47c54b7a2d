package ctl

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
)

func networkRemoveCommand(host NetworkChanger) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NETWORK...",
		Short: "remove networks that no container uses",
		Long: `Rm removes networks from this host's Podman, and what the driver has of them here. It
refuses while a container uses the network, whether it runs or not, and names it.
Unlike "podman network rm -f" it never removes a container.`,
		Example:           `  vxlanctl network rm mynet`,
		Args:              takes(1, noLimit),
		ValidArgsFunction: completeDefined(host),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if err := host.RemoveNetwork(name); err != nil {
					return fmt.Errorf("remove network %s: %w", name, err)
				}
				output.Fprintf(cmd.OutOrStdout(), "network %s is removed from this host\n", name)
			}
			return nil
		},
	}
}

// completeDefined completes names of networks that Podman has.
func completeDefined(host NetworkSource) cobra.CompletionFunc {
	return completing(noLimit, func(typed []string) []string {
		return slices.DeleteFunc(definedNames(host), func(name string) bool { return slices.Contains(typed, name) })
	})
}

// completeFirstDefined completes the first argument so.
func completeFirstDefined(host NetworkSource) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return completeDefined(host)(cmd, args, text)
	}
}
