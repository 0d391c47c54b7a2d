package ctl

import (
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

func addressCommand(host InventorySource) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "address",
		Short: "show who may hand out which addresses, and who has one",
		Long: `Address shows how a network's addresses are divided among hosts, and says of one
address who has it and whether this host may hand it out.`,
		Example: "  vxlanctl address show mynet\n  vxlanctl address check 10.0.0.7",
		Args:    subcommandArg,
		RunE:    printHelp,
	}
	cmd.AddCommand(addressShowCommand(host), addressCheckCommand(host))
	return cmd
}

func addressShowCommand(host InventorySource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "show NETWORK",
		Short: "show how a network's addresses are divided, used and reserved",
		Long: `Show lists the ranges of a network's subnets. Where hosts have a list, each has a
part of the subnet, and hands out addresses of it. Where they find each other, all
hand out addresses of the whole subnet, and agree on each.

  USED      addresses that containers have, and hosts themselves
  RESERVED  of these, addresses of hosts that do not answer
  FREE      addresses of the range that nobody has`,
		Example:           `  vxlanctl address show mynet`,
		Args:              oneArg("show addresses: type the name of one network; `vxlanctl network ls` lists them"),
		ValidArgsFunction: completeNetworks(host),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				all, alone, err := host.Inventory()
				if err != nil {
					return fmt.Errorf("show addresses: %w", err)
				}
				n, err := findNetwork(all, args[0])
				if err != nil {
					return fmt.Errorf("show addresses: %w", err)
				}
				return output.Listing[rangeRow]{Key: "ranges", Columns: rangeColumns, Rows: rangesOf(n),
					Notes: notesOf(alone)}.Print(p)
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(rangeColumns))
	return cmd
}

var rangeColumns = []output.Column[rangeRow]{
	{Heading: "SUBNET", Text: func(r rangeRow) string { return r.Subnet.String() }},
	{Heading: "HOST", Text: func(r rangeRow) string { return r.Host }, Shrinks: true},
	{Heading: "RANGE", Text: func(r rangeRow) string { return rangeText(r.First, r.Last) }, Shrinks: true},
	{Heading: "OWN", Text: func(r rangeRow) string { return addrText(r.HostAddress) }},
	{Heading: "USED", Text: func(r rangeRow) string { return fmt.Sprint(r.Used) }},
	{Heading: "RESERVED", Text: func(r rangeRow) string { return fmt.Sprint(r.Reserved) }},
	{Heading: "FREE", Text: func(r rangeRow) string { return r.Free }},
}

func addressCheckCommand(host InventorySource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "check ADDRESS",
		Short: "say who has an address, and whether this host may hand it out",
		Long: `Check says who has an address on this host's networks, whether this host may give it
to a container, and if not, why. It ends with 0 if a container can have the address
by --ip on this host, and with 1 if not.`,
		Example: `  vxlanctl address check 10.0.0.7
  vxlanctl address check 10.0.0.7 --format '{{.Owner}}'`,
		Args: oneArg("check an address: type one address"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) (addrs []string, _ cobra.ShellCompDirective) {
			all, _, err := host.Inventory()
			if err == nil && len(args) == 0 {
				addrs = usedAddrs(all)
			}
			return addrs, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := netip.ParseAddr(args[0])
			if err != nil {
				return usageError(fmt.Errorf("check address %q: must be an IPv4 or IPv6 address", args[0]))
			}
			return opts.Run(cmd, func(p *output.Printer) error { return checkAddress(p, host, a.Unmap()) })
		},
	}
	opts.AddReportFlags(cmd)
	return cmd
}

func checkAddress(p *output.Printer, host InventorySource, a netip.Addr) error {
	all, alone, err := host.Inventory()
	if err != nil {
		return fmt.Errorf("check address %v: %w", a, err)
	}
	found := addressCheckOf(all, a)
	if alone {
		found.Note = aloneNote
	}
	err = p.Report(found, func(out io.Writer) error {
		_, err := io.WriteString(out, found.text(p))
		return err
	})
	if err == nil && !found.Available {
		return exitStatus(exitError)
	}
	return err
}

// rangeText prints a range, and nothing if there is none.
func rangeText(first, last netip.Addr) string {
	if !first.IsValid() {
		return ""
	}
	return first.String() + "-" + last.String()
}

// usedAddrs are those of the containers on this host's networks.
func usedAddrs(all agentapi.Inventory) (addrs []string) {
	for _, n := range all.Networks {
		for _, e := range n.Endpoints {
			for _, a := range e.Addrs {
				addrs = append(addrs, a.String())
			}
		}
	}
	slices.Sort(addrs)
	return slices.Compact(addrs)
}
