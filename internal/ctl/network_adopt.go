package ctl

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/adopt"
	"vxlan-driver/internal/ctl/output"
)

// adoption is which networks a user wants of other hosts.
type adoption struct {
	names  []string
	all    bool
	dryRun bool
	own    adopt.Own
}

func networkAdoptCommand(host Host) *cobra.Command {
	var a adoption
	var options []string
	cmd := &cobra.Command{
		Use:   "adopt NETWORK...",
		Short: "create networks that other hosts have, in this host's Podman",
		Long: `Adopt creates a network that other hosts of the cluster have. It takes over what
must be the same on all hosts, such as the VNI and the subnets. What is each host's
own it leaves to this host: local_ip and physical_interface become "auto".

It refuses a network that hosts have set up differently, or that contradicts one of
this host, and shows both. A network with a list of hosts (remote_ips) must have
this host on the list.`,
		Example: `  vxlanctl network adopt mynet
  vxlanctl network adopt --all --dry-run
  vxlanctl network adopt --opt physical_interface=eth1 mynet`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			here, others, _ := host.Networks() // nothing is completed without an agent
			missing, _ := adopt.Compare(here, others)
			var names []string
			for _, m := range missing {
				names = append(names, m.Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) == 0) == !a.all {
				return errors.New("adopt network: type the names of networks that other hosts have, or --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a.names, a.own.Options = args, make(map[string]string)
			for _, o := range options {
				name, value, ok := strings.Cut(o, "=")
				if !ok {
					return usageError(fmt.Errorf("adopt network: --opt %q: must be NAME=VALUE", o))
				}
				a.own.Options[name] = value
			}
			return a.run(cmd, host)
		},
	}
	cmd.Flags().BoolVar(&a.all, "all", false, "all networks that other hosts have and this one lacks")
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "print the commands, and change nothing")
	cmd.Flags().StringArrayVarP(&options, "opt", "o", nil,
		"an option of this host, instead of the other hosts' or \"auto\"; may be repeated")
	cmd.Flags().StringArrayVar(&a.own.IPRanges, "ip-range", nil, "the addresses that this host assigns; may be repeated")
	return cmd
}

func namesOf(all []adopt.Definition) (names []string) {
	for _, d := range all {
		names = append(names, d.Name)
	}
	return names
}

// run creates the networks. One that cannot be created does not keep the others from it.
func (a adoption) run(cmd *cobra.Command, host Host) error {
	here, others, err := host.Networks()
	if err != nil {
		return fmt.Errorf("adopt network: %w", err)
	}
	merged, conflicts := adopt.Merge(others)
	if a.all {
		a.names = namesOf(merged)
	}
	var errs []error
	for _, name := range a.names {
		i := slices.IndexFunc(merged, func(d adopt.Definition) bool { return d.Name == name })
		if i < 0 {
			errs = append(errs,
				fmt.Errorf("adopt network: no other host that answers has a network %s; they have: %s", name,
					cmp.Or(strings.Join(namesOf(merged), ", "), "none")))
			continue
		}
		err := conflicts[name]
		if err == nil {
			err = a.adoptOne(cmd.OutOrStdout(), host, here, merged[i])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("adopt %w", err))
		}
	}
	return errors.Join(errs...)
}

func (a adoption) adoptOne(out io.Writer, host Host, here []adopt.Definition, d adopt.Definition) error {
	exists, err := adopt.Conflict(here, d)
	if err != nil {
		return err
	}
	if exists {
		output.Fprintf(out, "network %s is there already\n", d.Name)
		return nil
	}
	if a.own.Addrs, err = host.OwnAddrs(d.Listed()); err != nil {
		return err
	}
	args, notes, err := d.Command(a.own)
	if err != nil {
		return err
	}
	for _, note := range notes {
		output.Fprintln(out, "note:", note)
	}
	output.Fprintln(out, adopt.Quote("podman", args))
	if a.dryRun {
		return nil
	}
	if err := host.CreateNetwork(args, out); err != nil {
		return fmt.Errorf("network %s: %w", d.Name, err)
	}
	return nil
}

// offerNetworks adopts the networks that a user wants, or lists what could be adopted.
func offerNetworks(cmd *cobra.Command, host Host, names []string, all bool) error {
	if len(names) > 0 || all {
		return adoption{names: names, all: all}.run(cmd, host)
	}
	here, others, err := host.Networks()
	if err != nil {
		return fmt.Errorf("list the networks of other hosts: %w", err)
	}
	missing, contradictions := adopt.Compare(here, others)
	for _, c := range contradictions {
		output.Fprintf(cmd.OutOrStdout(), "warning: %v\n", c)
	}
	if len(missing) == 0 {
		return nil
	}
	output.Fprintln(cmd.OutOrStdout(), "other hosts have networks that this one lacks; to have them too, type")
	for _, m := range missing {
		output.Fprintf(cmd.OutOrStdout(), "  vxlanctl network adopt %s\n", m.Name)
	}
	return nil
}
