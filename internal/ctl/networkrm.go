package ctl

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/ctl/output"
)

func networkRemoveCommand(host NetworkChanger) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "rm NETWORK...",
		Short: "remove networks that no container uses",
		Long: `Rm removes networks from this host's Podman, and what the driver has of them here. It
refuses while a container uses the network, whether it runs or not, and names it.
Unlike "podman network rm -f" it never removes a container.

A network that is defined in etcd (discovery=etcd) is retired there too, once no other
host has it: its name and VNI are free again. Of a network that this host does not have,
rm retires the definition, or says which hosts use it.`,
		Example:           `  vxlanctl network rm mynet`,
		Args:              takes(1, noLimit),
		ValidArgsFunction: completeDefined(host),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := opts.StreamOf(cmd, removedNetworks{Networks: []string{""}, Retired: []string{""}, Kept: []string{""}})
			if err != nil {
				return err
			}
			removed := removedNetworks{Networks: []string{}}
			err = removed.remove(host, args)
			return errors.Join(err, result{removed, removed.quiet(), removed.printText}.print(p))
		},
	}
	opts.AddActionFlags(cmd, "the networks that are removed")
	return cmd
}

// removedNetworks are networks that this host does not have any more.
type removedNetworks struct {
	Networks []string `json:"networks"`
	// Retired are those whose name and VNI are free in etcd.
	Retired []string `json:"retired,omitempty"`
	// Kept says of the others that are in etcd why they stay there.
	Kept []string `json:"kept,omitempty"`
}

// remove removes networks up to the first one that cannot be removed.
func (r *removedNetworks) remove(host NetworkChanger, names []string) error {
	here, err := host.DefinedNetworks()
	if err != nil {
		return fmt.Errorf("remove networks: %w", err)
	}
	for _, name := range names {
		i := slices.IndexFunc(here, func(d DefinedNetwork) bool { return d.Name == name || d.ID == name })
		if i < 0 {
			err = r.retireElsewhere(host, name)
		} else {
			err = r.removeHere(host, here[i], name)
		}
		if err != nil {
			return fmt.Errorf("remove network %s: %w", name, err)
		}
	}
	return nil
}

// removeHere removes a network that this host has. If it is in etcd and nobody else has it, it goes there too.
func (r *removedNetworks) removeHere(host NetworkChanger, d DefinedNetwork, typed string) error {
	if err := host.RemoveNetwork(typed); err != nil {
		return err
	}
	r.Networks = append(r.Networks, typed)
	if !(adopt.Definition{Options: d.Options}).UsesEtcd() {
		return nil
	}
	retired, err := host.RetireNetwork(d.Name)
	switch {
	case err != nil:
		return fmt.Errorf("it is removed from this host, and may still be in etcd: %w; type the command again", err)
	case len(retired.Uses) > 0:
		r.Kept = append(r.Kept, fmt.Sprintf("network %s stays defined in etcd: %s", d.Name, usesText(retired.Uses)))
	case retired.Defined:
		r.Retired = append(r.Retired, d.Name)
	}
	return nil
}

// retireElsewhere retires a network that this host does not have.
func (r *removedNetworks) retireElsewhere(host NetworkChanger, name string) error {
	retired, err := host.RetireNetwork(name)
	switch {
	case err != nil:
		return err
	case len(retired.Uses) > 0:
		return fmt.Errorf("it is in use: %s; type the command there, or `vxlanctl host forget` for a host that is gone",
			usesText(retired.Uses))
	case !retired.Defined:
		return host.RemoveNetwork(name) // which says what there is
	}
	r.Retired = append(r.Retired, name)
	return nil
}

// usesText says which hosts use a network.
func usesText(uses []cluster.DefinitionUse) string {
	var all []string
	for _, u := range uses {
		switch host := "host " + u.Host; {
		case u.Containers == 1:
			all = append(all, host+" has a container on it")
		case u.Containers > 0:
			all = append(all, fmt.Sprintf("%s has %d containers on it", host, u.Containers))
		default:
			all = append(all, host+" has it")
		}
	}
	const most = 5
	if more := len(all) - most; more > 0 {
		all = append(all[:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(all, ", ")
}

func (r removedNetworks) printText(out io.Writer) error {
	for _, name := range r.Networks {
		if _, err := output.Fprintf(out, "network %s is removed from this host\n", name); err != nil {
			return err
		}
	}
	for _, name := range r.Retired {
		if _, err := output.Fprintf(out, "network %s is retired: its name and VNI are free in etcd\n", name); err != nil {
			return err
		}
	}
	for _, text := range r.Kept {
		if _, err := output.Fprintf(out, "note: %s\n", text); err != nil {
			return err
		}
	}
	return nil
}

// quiet are the networks that are gone from this host, or from etcd.
func (r removedNetworks) quiet() []string {
	return uniqueNames(append(slices.Clone(r.Networks), r.Retired...))
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
