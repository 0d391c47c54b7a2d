package ctl

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/ctl/output"
)

func networkRemoveCommand(host NetworkChanger) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "rm NETWORK...",
		Short: "remove networks that no container uses",
		Long: `Rm removes networks from this host's Podman, and what the driver has of them here. It
refuses while a container uses the network, whether it runs or not, and names it.
Unlike "podman network rm -f" it never removes a container.`,
		Example:           `  vxlanctl network rm mynet`,
		Args:              takes(1, noLimit),
		ValidArgsFunction: completeDefined(host),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := opts.StreamOf(cmd, removedNetworks{[]string{""}})
			if err != nil {
				return err
			}
			removed := removedNetworks{Networks: []string{}}
			err = removed.remove(host, args)
			return errors.Join(err, result{removed, removed.Networks, removed.printText}.print(p))
		},
	}
	opts.AddActionFlags(cmd, "the networks that are removed")
	return cmd
}

// removedNetworks are networks that this host does not have any more.
type removedNetworks struct {
	Networks []string `json:"networks"`
}

// remove removes networks up to the first one that cannot be removed.
func (r *removedNetworks) remove(host NetworkChanger, names []string) error {
	for _, name := range names {
		if err := host.RemoveNetwork(name); err != nil {
			return fmt.Errorf("remove network %s: %w", name, err)
		}
		r.Networks = append(r.Networks, name)
	}
	return nil
}

func (r removedNetworks) printText(out io.Writer) error {
	for _, name := range r.Networks {
		if _, err := output.Fprintf(out, "network %s is removed from this host\n", name); err != nil {
			return err
		}
	}
	return nil
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
