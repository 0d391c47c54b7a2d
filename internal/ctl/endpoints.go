package ctl

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// endpointRow is a container on a network.
type endpointRow struct {
	Network string `json:"network"`
	agentapi.EndpointInventory
}

func endpointsCommand(host InventorySource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "endpoints [NETWORK]",
		Short: "list the containers of all hosts",
		Long: `Endpoints lists the containers of all hosts that this host's agent knows, or those on
one network: container, network, addresses, MAC and host.

  up           the container has its addresses
  claiming     it is about to get them
  unreachable  its host does not answer; its names are hidden, its addresses reserved`,
		Example: `  vxlanctl endpoints
  vxlanctl endpoints mynet --filter host='host-b*'
  vxlanctl endpoints --format '{{.Container}} {{join "," .Names}}'`,
		Args:              takes(0, 1),
		ValidArgsFunction: completeNetworks(host),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				all, alone, err := host.Inventory()
				if err != nil {
					return fmt.Errorf("list endpoints: %w", err)
				}
				rows, err := endpointRows(all, args)
				if err != nil {
					return fmt.Errorf("list endpoints: %w", err)
				}
				return output.Listing[endpointRow]{Key: "endpoints", Columns: endpointColumns, Rows: rows,
					Notes: notesOf(alone)}.Print(p)
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(endpointColumns))
	return cmd
}

// endpointRows returns the containers of all networks, or of the one that is given.
func endpointRows(all agentapi.Inventory, names []string) (rows []endpointRow, err error) {
	add := func(network string, endpoints []agentapi.EndpointInventory) {
		for _, e := range endpoints {
			rows = append(rows, endpointRow{network, e})
		}
	}
	if len(names) > 0 {
		n, err := findNetwork(all, names[0])
		add(n.Name, n.Endpoints)
		return rows, err
	}
	for _, n := range all.Networks {
		add(n.Name, n.Endpoints)
	}
	for _, n := range all.Elsewhere {
		add(cmp.Or(n.Name, fmt.Sprintf("VNI %d", n.VNI)), n.Endpoints)
	}
	return rows, nil
}

var endpointColumns = []output.Column[endpointRow]{
	{Heading: "CONTAINER", Text: func(r endpointRow) string { return r.Container }, Shrinks: true},
	{Heading: "NETWORK", Text: func(r endpointRow) string { return r.Network }, Shrinks: true},
	{Heading: "ADDRESS", Text: func(r endpointRow) string { return joinAddrs(r.Addrs) }, Shrinks: true},
	{Heading: "MAC", Text: func(r endpointRow) string { return r.MAC }, Wide: true},
	{Heading: "HOST", Text: func(r endpointRow) string { return r.Host }, Shrinks: true},
	{Heading: "STATE", Text: func(r endpointRow) string { return r.State }},
}
