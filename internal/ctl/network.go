package ctl

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// NetworkSource knows the networks.
type NetworkSource interface {
	InventorySource
	// DefinedNetworks returns the VXLAN networks that this host's Podman has.
	DefinedNetworks() ([]DefinedNetwork, error)
}

// DefinedNetwork is a network that this host's Podman has.
type DefinedNetwork struct {
	Name, ID string
	VNI      uint32
	Port     uint16 // UDP
	Subnets  []string
	Options  map[string]string
}

func networkCommand(host Host) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network",
		Short: "list, inspect and change networks",
		Long: `Network lists this host's VXLAN networks, and those of other hosts that this one
lacks. It shows one in detail, and changes one while its containers run.`,
		Example: "  vxlanctl network ls\n  vxlanctl network inspect mynet\n  vxlanctl network adopt mynet\n  vxlanctl network set mynet mtu=1402",
		Args:    subcommandArg,
		RunE:    printHelp,
	}
	cmd.AddCommand(
		networkListCommand(host),
		networkInspectCommand(host),
		networkSetCommand(host),
		networkPeerCommand(host),
		networkRemoveCommand(host),
		networkAdoptCommand(host),
	)
	return cmd
}

// networkRow is a network of this host or of others.
type networkRow struct {
	Name      string   `json:"name"`
	VNI       uint32   `json:"vni"`
	Port      uint16   `json:"port"`
	MTU       int      `json:"mtu,omitempty"`
	Here      int      `json:"here"`      // containers
	Elsewhere int      `json:"elsewhere"` // containers on other hosts
	Hosts     int      `json:"hosts"`     // other hosts with containers
	Subnets   []string `json:"subnets"`
	State     string   `json:"state"`
}

// States of a network on this host.
const (
	networkUp      = "up"
	networkIdle    = "idle"     // it is defined, and has no container here
	networkNotHere = "not here" // other hosts have it
)

func networkListCommand(host NetworkSource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "list this host's networks, and those that only other hosts have",
		Long: `Ls lists the VXLAN networks of this host's Podman, and, as far as this host's agent
knows other hosts, the networks that have containers there and do not exist here.

  up        it has containers on this host
  idle      it has none here
  not here  other hosts have it; "vxlanctl network adopt" creates it here`,
		Example: `  vxlanctl network ls
  vxlanctl network ls -q --filter 'state=not here'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				rows, notes, err := networkRows(host)
				if err != nil {
					return fmt.Errorf("list networks: %w", err)
				}
				return output.Listing[networkRow]{Key: "networks", Columns: networkColumns, Rows: rows, Notes: notes}.Print(p)
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(networkColumns))
	return cmd
}

var networkColumns = []output.Column[networkRow]{
	{Heading: "NETWORK", Text: func(r networkRow) string { return r.Name }, Shrinks: true},
	{Heading: "VNI", Text: func(r networkRow) string { return strconv.FormatUint(uint64(r.VNI), 10) }},
	{Heading: "STATE", Text: func(r networkRow) string { return r.State }},
	{Heading: "HERE", Text: func(r networkRow) string { return strconv.Itoa(r.Here) }},
	{Heading: "ELSEWHERE", Text: func(r networkRow) string { return strconv.Itoa(r.Elsewhere) }},
	{Heading: "HOSTS", Text: func(r networkRow) string { return strconv.Itoa(r.Hosts) }},
	{Heading: "MTU", Text: func(r networkRow) string { return mtuText(r.MTU) }},
	{Heading: "SUBNETS", Text: func(r networkRow) string { return strings.Join(r.Subnets, ",") }, Shrinks: true},
}

func mtuText(mtu int) string {
	if mtu == 0 {
		return ""
	}
	return strconv.Itoa(mtu)
}

// networkRows returns the networks that are here, and then those that only other hosts have.
func networkRows(host NetworkSource) (rows []networkRow, notes []string, err error) {
	defined, err := host.DefinedNetworks()
	if err != nil {
		return nil, nil, err
	}
	all, alone, err := host.Inventory()
	if err != nil {
		return nil, nil, err
	}
	elsewhere := slices.Clone(all.Elsewhere)
	for _, n := range all.Networks {
		rows = append(rows, rowOfNetwork(n))
	}
	for _, d := range defined {
		if slices.ContainsFunc(all.Networks, func(n agentapi.NetworkInventory) bool { return n.ID == d.ID }) {
			continue
		}
		row := networkRow{Name: d.Name, VNI: d.VNI, Port: d.Port, Subnets: d.Subnets, State: networkIdle}
		elsewhere = slices.DeleteFunc(elsewhere, func(e agentapi.NetworkElsewhere) bool {
			isSame := e.VNI == d.VNI && e.Port == d.Port
			if isSame {
				row.Elsewhere, row.Hosts, row.MTU = e.Containers, len(e.Hosts), e.MTU
			}
			return isSame
		})
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b networkRow) int { return strings.Compare(a.Name, b.Name) })
	notes = notesOf(alone)
	for _, e := range elsewhere {
		rows = append(rows, networkRow{
			Name: e.Name, VNI: e.VNI, Port: e.Port, MTU: e.MTU, Subnets: e.Subnets,
			Elsewhere: e.Containers, Hosts: len(e.Hosts), State: networkNotHere,
		})
		notes = append(notes, fmt.Sprintf("%s has network %s, and this host has not; to create it here: vxlanctl network adopt %[2]s",
			joinHosts(e.Hosts), cmp.Or(e.Name, "NAME")))
	}
	return rows, notes, nil
}

func joinHosts(hosts []string) string {
	const most = 3
	if len(hosts) <= most {
		return strings.Join(hosts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(hosts[:most], ", "), len(hosts)-most)
}

func rowOfNetwork(n agentapi.NetworkInventory) networkRow {
	row := networkRow{Name: n.Name, VNI: n.VNI, Port: n.Port, MTU: n.MTU, State: networkUp, Subnets: []string{}}
	for _, s := range n.Subnets {
		row.Subnets = append(row.Subnets, s.Prefix.String())
	}
	for _, m := range n.Hosts {
		if m.Self {
			row.Here = m.Containers
			continue
		}
		row.Hosts++
		row.Elsewhere += m.Containers
	}
	return row
}
