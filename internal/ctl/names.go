package ctl

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// nameRow is a name and one container that has it.
type nameRow struct {
	Name      string       `json:"name"`
	Network   string       `json:"network"`
	Addrs     []netip.Addr `json:"addrs"`
	Container string       `json:"container"`
	Host      string       `json:"host"`
}

// searchDomain may follow a name.
const searchDomain = ".dns.podman"

func namesCommand(host InventorySource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "names [NAME]",
		Short: "list what container names resolve to on this host, and by which network",
		Long: `Names lists the names that containers of this host can look up: on each network the
containers' names and aliases, and the starts of their IDs. A name that several
containers have resolves to the addresses of all.

With NAME it ends with 1 if no network of this host has the name.`,
		Example: `  vxlanctl names
  vxlanctl names web
  vxlanctl names --filter network=mynet --format '{{.Name}} {{.Addrs}}'`,
		Args:              takes(0, 1),
		ValidArgsFunction: completing(1, func([]string) []string { return lookedUpNames(host) }),

		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.Run(cmd, func(p *output.Printer) error { return listNames(p, host, args) })
		},
	}
	opts.AddListFlags(cmd, output.Headings(nameColumns))
	return cmd
}

func listNames(p *output.Printer, host InventorySource, args []string) error {
	all, alone, err := host.Inventory()
	if err != nil {
		return fmt.Errorf("list names: %w", err)
	}
	rows := nameRows(all)
	if len(args) > 0 {
		name := strings.TrimSuffix(strings.ToLower(strings.TrimSuffix(args[0], ".")), searchDomain)
		rows = slices.DeleteFunc(rows, func(r nameRow) bool { return r.Name != name })
		if len(rows) == 0 && alone {
			return fmt.Errorf("look up %s: vxland does not run, so nobody answers names; `vxlanctl status` says what to do",
				args[0])
		}
		if len(rows) == 0 {
			return fmt.Errorf("look up %s: no network with a container on this host has the name; `vxlanctl names` lists them",
				args[0])
		}
	}
	return output.Listing[nameRow]{Key: "names", Columns: nameColumns, Rows: rows, Notes: notesOf(alone)}.Print(p)
}

// nameRows has a row for each container that has a name, by name.
func nameRows(all agentapi.Inventory) (rows []nameRow) {
	for _, n := range all.Networks {
		owners := make(endpointOwners)
		for _, e := range n.Endpoints {
			for _, a := range e.Addrs {
				if e.State == agentapi.EndpointUp {
					owners[a] = e
				}
			}
		}
		for _, name := range n.Names {
			rows = append(rows, rowsOfName(n.Name, name, owners)...)
		}
	}
	slices.SortStableFunc(rows, func(a, b nameRow) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

// endpointOwners are the containers by their addresses.
type endpointOwners map[netip.Addr]agentapi.EndpointInventory

func rowsOfName(network string, name agentapi.NameInventory, owners endpointOwners) (rows []nameRow) {
	for _, a := range name.Addrs {
		owner := owners[a]
		i := slices.IndexFunc(rows, func(r nameRow) bool { return r.Container == owner.Container && r.Host == owner.Host })
		if i >= 0 {
			rows[i].Addrs = append(rows[i].Addrs, a)
			continue
		}
		rows = append(rows, nameRow{
			Name: name.Name, Network: network, Addrs: []netip.Addr{a}, Container: owner.Container, Host: owner.Host,
		})
	}
	return rows
}

var nameColumns = []output.Column[nameRow]{
	{Heading: "NAME", Text: func(r nameRow) string { return r.Name }, Shrinks: true},
	{Heading: "NETWORK", Text: func(r nameRow) string { return r.Network }, Shrinks: true},
	{Heading: "ADDRESS", Text: func(r nameRow) string { return joinAddrs(r.Addrs) }, Shrinks: true},
	{Heading: "CONTAINER", Text: func(r nameRow) string { return r.Container }, Shrinks: true},
	{Heading: "HOST", Text: func(r nameRow) string { return r.Host }, Shrinks: true},
}
