package ctl

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// ForwardingSource compares the kernel's forwarding entries with what the cluster says.
type ForwardingSource interface {
	// Forwarding asks the agent. Where none runs, only the listed hosts are known, and alone is true.
	Forwarding() (entries []agentapi.ForwardingEntry, alone bool, err error)
}

func fdbCommand(host ForwardingSource) *cobra.Command {
	var opts output.Options
	diff := false
	cmd := &cobra.Command{
		Use:   "fdb",
		Short: "compare this host's forwarding tables with what the cluster says",
		Long: `Fdb lists the entries by which this host's frames find other hosts, and says of each
whether the kernel has it and the cluster says so:

  flood      hosts that get a copy of what is for everybody
  fdb        on which host a MAC is (VXLAN device)
  bridge     MACs that are behind the VXLAN device (bridge)
  neighbour  which MAC has an address, by which the bridge answers ARP and ND
  fast path  MACs whose packets pass the bridge by

  ok       both agree
  missing  the kernel lacks it
  extra    the kernel has it, and no host says so

With --diff it lists only what differs, and ends with 1 if anything does. The agent
mends that within a minute, and "vxlanctl reload" at once.`,
		Example: `  vxlanctl fdb
  vxlanctl fdb --diff
  vxlanctl fdb --filter table=neighbour --filter owner='db *'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.Run(cmd, func(p *output.Printer) error { return listForwarding(p, host, diff) })
		},
	}
	cmd.Flags().BoolVar(&diff, "diff", false, "list only what differs, and end with 1 if anything does")
	opts.AddListFlags(cmd, output.Headings(forwardingColumns))
	return cmd
}

func listForwarding(p *output.Printer, host ForwardingSource, diff bool) error {
	entries, alone, err := host.Forwarding()
	if err != nil {
		return fmt.Errorf("list forwarding entries: %w", err)
	}
	isOK := func(e agentapi.ForwardingEntry) bool { return e.State == agentapi.EntryOK }
	if diff {
		entries = slices.DeleteFunc(entries, isOK)
	}
	listing := output.Listing[agentapi.ForwardingEntry]{Key: "entries", Columns: forwardingColumns, Rows: entries}
	if alone {
		listing.Notes = []string{"vxland does not run, so only the hosts of remote_ips are known; MACs are learned"}
	}
	if err := listing.Print(p); err != nil {
		return err
	}
	if diff && len(entries) > 0 {
		return exitStatus(exitError)
	}
	return nil
}

var forwardingColumns = []output.Column[agentapi.ForwardingEntry]{
	{Heading: "NETWORK", Text: func(e agentapi.ForwardingEntry) string { return e.Network }, Shrinks: true},
	{Heading: "TABLE", Text: func(e agentapi.ForwardingEntry) string { return e.Table }},
	{Heading: "KEY", Text: func(e agentapi.ForwardingEntry) string { return e.Key }, Shrinks: true},
	{Heading: "TO", Text: func(e agentapi.ForwardingEntry) string { return e.Target }, Shrinks: true},
	{Heading: "OWNER", Text: func(e agentapi.ForwardingEntry) string { return e.Owner }, Shrinks: true},
	{Heading: "STATE", Text: func(e agentapi.ForwardingEntry) string { return e.State }},
}
