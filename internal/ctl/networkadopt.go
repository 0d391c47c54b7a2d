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
	var opts output.Options
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
			return networksToAdopt(host), cobra.ShellCompDirectiveNoFileComp
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
			p, err := opts.StreamOf(cmd, adoptedNetworks{[]adoptedNetwork{{}}})
			if err != nil {
				return err
			}
			networks, err := a.run(progressOf(cmd, p), host)
			return errors.Join(err, result{object: adoptedNetworks{networks}, quiet: createdOf(networks)}.print(p))
		},
	}
	opts.AddActionFlags(cmd, "the networks that were created")
	cmd.Flags().BoolVar(&a.all, "all", false, "all networks that other hosts have and this one lacks")
	cmd.Flags().BoolVar(&a.dryRun, "dry-run", false, "print the commands, and change nothing")
	cmd.Flags().StringArrayVarP(&options, "opt", "o", nil,
		"an option of this host, instead of the other hosts' or \"auto\"; may be repeated")
	cmd.Flags().StringArrayVar(&a.own.IPRanges, "ip-range", nil, "the addresses that this host assigns; may be repeated")
	return cmd
}

// networksToAdopt completes what is typed, as far as the agent answers.
func networksToAdopt(host Host) (names []string) {
	here, others, _ := host.Networks()
	missing, _ := adopt.Compare(here, others)
	for _, m := range missing {
		names = append(names, m.Name)
	}
	return names
}

// adoptedNetworks are networks of other hosts that this one has too now.
type adoptedNetworks struct {
	Networks []adoptedNetwork `json:"networks"`
}

type adoptedNetwork struct {
	Name    string `json:"name"`
	Created bool   `json:"created"`           // just now
	Command string `json:"command,omitempty"` // which creates it; empty: it was there already
}

func createdOf(networks []adoptedNetwork) (names []string) {
	for _, n := range networks {
		if n.Created {
			names = append(names, n.Name)
		}
	}
	return names
}

func namesOf(all []adopt.Definition) (names []string) {
	for _, d := range all {
		names = append(names, d.Name)
	}
	return names
}

// run creates the networks. One that cannot be created does not keep the others from it.
func (a adoption) run(out io.Writer, host Host) ([]adoptedNetwork, error) {
	adopted := []adoptedNetwork{} // JSON shows none as []
	here, others, err := host.Networks()
	if err != nil {
		return adopted, fmt.Errorf("adopt network: %w", err)
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
			var n adoptedNetwork
			if n, err = a.adoptOne(out, host, here, merged[i]); err == nil {
				adopted = append(adopted, n)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("adopt %w", err))
		}
	}
	return adopted, errors.Join(errs...)
}

func (a adoption) adoptOne(out io.Writer, host Host, here []adopt.Definition,
	d adopt.Definition) (adoptedNetwork, error) {
	adopted := adoptedNetwork{Name: d.Name}
	exists, err := adopt.Conflict(here, d)
	if err != nil {
		return adopted, err
	}
	if exists {
		output.Fprintf(out, "network %s is there already\n", d.Name)
		return adopted, nil
	}
	if a.own.Addrs, err = host.OwnAddrs(d.Listed()); err != nil {
		return adopted, err
	}
	args, notes, err := d.Command(a.own)
	if err != nil {
		return adopted, err
	}
	for _, note := range notes {
		output.Fprintln(out, "note:", note)
	}
	adopted.Command = adopt.Quote("podman", args)
	output.Fprintln(out, adopted.Command)
	if a.dryRun {
		return adopted, nil
	}
	if err := host.CreateNetwork(args, out); err != nil {
		return adopted, fmt.Errorf("network %s: %w", d.Name, err)
	}
	adopted.Created = true
	return adopted, nil
}

// joinedHost is what a host has of the others' networks after it has joined.
type joinedHost struct {
	Adopted []adoptedNetwork `json:"adopted"`
	Missing []string         `json:"missing"` // that it can adopt
}

// offerNetworks adopts the networks that a user wants, or lists what could be adopted.
func offerNetworks(out io.Writer, host Host, wanted adoption) (joined joinedHost, err error) {
	joined = joinedHost{Adopted: []adoptedNetwork{}, Missing: []string{}}
	if len(wanted.names) > 0 || wanted.all {
		joined.Adopted, err = wanted.run(out, host)
		return joined, err
	}
	here, others, err := host.Networks()
	if err != nil {
		return joined, fmt.Errorf("list the networks of other hosts: %w", err)
	}
	missing, contradictions := adopt.Compare(here, others)
	for _, c := range contradictions {
		output.Fprintf(out, "warning: %v\n", c)
	}
	if len(missing) == 0 {
		return joined, nil
	}
	output.Fprintln(out, "other hosts have networks that this one lacks; to have them too, type")
	for _, m := range missing {
		output.Fprintf(out, "  vxlanctl network adopt %s\n", m.Name)
		joined.Missing = append(joined.Missing, m.Name)
	}
	return joined, nil
}
