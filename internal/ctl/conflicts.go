package ctl

import (
	"fmt"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// conflictRow is an address or a name that two containers have.
type conflictRow struct {
	Network string `json:"network"`
	agentapi.ConflictInventory
}

func conflictsCommand(host InventorySource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "conflicts",
		Short: "list addresses and names that a container here and one elsewhere both have",
		Long: `Conflicts lists addresses and names that a container of this host and one of another
host both have. Two containers get one address if their hosts could not reach each
other. KEEPS says which of them keeps it. Restart the other one.`,
		Example: `  vxlanctl conflicts
  vxlanctl conflicts -q --filter kind=address`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				all, alone, err := host.Inventory()
				if err != nil {
					return fmt.Errorf("list conflicts: %w", err)
				}
				listing := output.Listing[conflictRow]{Key: "conflicts", Columns: conflictColumns, Notes: notesOf(alone)}
				for _, n := range all.Networks {
					for _, c := range n.Conflicts {
						listing.Rows = append(listing.Rows, conflictRow{n.Name, c})
						listing.Notes = append(listing.Notes, c.Text)
					}
				}
				return listing.Print(p)
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(conflictColumns))
	return cmd
}

var conflictColumns = []output.Column[conflictRow]{
	{Heading: "VALUE", Text: func(r conflictRow) string { return r.Value }, Shrinks: true},
	{Heading: "KIND", Text: func(r conflictRow) string { return r.Kind }},
	{Heading: "NETWORK", Text: func(r conflictRow) string { return r.Network }, Shrinks: true},
	{Heading: "HERE", Text: func(r conflictRow) string { return r.Here }, Shrinks: true},
	{Heading: "THERE", Text: func(r conflictRow) string { return r.There }, Shrinks: true},
	{Heading: "HOST", Text: func(r conflictRow) string { return r.Host }, Shrinks: true},
	{Heading: "KEEPS", Text: func(r conflictRow) string { return r.Keeps }},
}
