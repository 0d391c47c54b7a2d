package ctl

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

func networkInspectCommand(host NetworkSource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "inspect NETWORK",
		Short: "show all that is known of a network on this host and on others",
		Long: `Inspect shows how a network is set up here: its options with the defaults, devices
and subnets. Then come its hosts and containers, and what other hosts set up
differently. Of a network without containers on this host it shows what Podman has.

With --filter the tables that have the column show only rows that match. With -q it
prints only the names of the network's containers.`,
		Example: `  vxlanctl network inspect mynet
  vxlanctl network inspect mynet --format '{{.Options.mtu}}'
  vxlanctl network inspect mynet --filter state=unreachable`,
		Args:              oneArg("inspect a network: type the name of one; `vxlanctl network ls` lists them"),
		ValidArgsFunction: completeFirstDefined(host),
		RunE: func(cmd *cobra.Command, args []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				n, alone, err := findToInspect(host, args[0])
				if err != nil {
					return fmt.Errorf("inspect network: %w", err)
				}
				n = wantedOfNetwork(p, n)
				return p.Report(n, func(out io.Writer) error {
					_, err := io.WriteString(out, inspectText(p, n, notesOf(alone)))
					return err
				})
			})
		},
	}
	opts.AddListFlags(cmd, slices.Concat(output.Headings(subnetColumns), output.Headings(memberColumns),
		output.Headings(inspectedEndpointColumns)))
	return cmd
}

// wantedOfNetwork leaves out the rows that the user filters out.
func wantedOfNetwork(p *output.Printer, n agentapi.NetworkInventory) agentapi.NetworkInventory {
	n.Subnets = output.Wanted(p, subnetColumns, n.Subnets)
	n.Hosts = output.Wanted(p, memberColumns, n.Hosts)
	n.Endpoints = output.Wanted(p, inspectedEndpointColumns, n.Endpoints)
	return n
}

// findToInspect returns a network that has containers here, or else what Podman has of it.
func findToInspect(host NetworkSource, name string) (n agentapi.NetworkInventory, alone bool, err error) {
	all, alone, err := host.Inventory()
	if err != nil {
		return agentapi.NetworkInventory{}, false, err
	}
	n, err = findNetwork(all, name)
	if err == nil {
		return n, alone, nil
	}
	defined, definedErr := host.DefinedNetworks()
	for _, d := range defined {
		if d.Name == name || d.ID == name {
			return idleNetwork(d), alone, nil
		}
	}
	return agentapi.NetworkInventory{}, false, errors.Join(err, definedErr)
}

// idleNetwork is a network without containers on this host.
func idleNetwork(d DefinedNetwork) agentapi.NetworkInventory {
	n := agentapi.NetworkInventory{
		ID: d.ID, Name: d.Name, VNI: d.VNI, Port: d.Port, Options: d.Options,
		Subnets: []agentapi.SubnetInventory{}, Hosts: []agentapi.MemberInventory{}, Endpoints: []agentapi.EndpointInventory{},
		Names: []agentapi.NameInventory{}, Conflicts: []agentapi.ConflictInventory{}, Differences: []string{},
	}
	for _, text := range d.Subnets {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			n.Subnets = append(n.Subnets, agentapi.SubnetInventory{Prefix: prefix})
		}
	}
	return n
}

func inspectText(p *output.Printer, n agentapi.NetworkInventory, notes []string) string {
	var b strings.Builder
	if p.Quiet {
		for _, e := range n.Endpoints {
			output.Fprintln(&b, e.Container)
		}
		return b.String()
	}
	b.WriteString(p.Wrap("", "  ", fmt.Sprintf("network %s (%s): VNI %d, UDP port %d", n.Name, n.ID, n.VNI, n.Port)))
	if n.VTEP.IsValid() {
		output.Fprintf(&b, "sends from %v by %s, MTU %d\n", n.VTEP, n.Interface, n.MTU)
		output.Fprintf(&b, "bridge %s, VXLAN device %s\n", n.Bridge, n.Device)
	} else {
		b.WriteString("no container on this host, and so no devices\n")
	}
	var options []string
	for _, name := range slices.Sorted(maps.Keys(n.Options)) {
		options = append(options, name+"="+n.Options[name])
	}
	b.WriteString(p.Wrap("options ", "  ", strings.Join(options, " ")))
	if len(n.Subnets) > 0 {
		b.WriteString("\n" + output.Listing[agentapi.SubnetInventory]{Columns: subnetColumns, Rows: n.Subnets}.Table(p))
	}
	if len(n.Hosts) > 0 {
		b.WriteString("\n" + output.Listing[agentapi.MemberInventory]{Columns: memberColumns, Rows: n.Hosts}.Table(p))
	}
	if len(n.Hosts) > 0 || len(n.Endpoints) > 0 {
		b.WriteString("\n" +
			output.Listing[agentapi.EndpointInventory]{Columns: inspectedEndpointColumns, Rows: n.Endpoints}.Table(p))
	}
	notes = append(notes, n.Differences...)
	for _, c := range n.Conflicts {
		notes = append(notes, c.Text)
	}
	for _, text := range notes {
		b.WriteString(p.Wrap("# ", "#   ", text))
	}
	return b.String()
}

var subnetColumns = []output.Column[agentapi.SubnetInventory]{
	{Heading: "SUBNET", Text: func(s agentapi.SubnetInventory) string { return s.Prefix.String() }},
	{Heading: "GATEWAY", Text: func(s agentapi.SubnetInventory) string { return addrText(s.Gateway) }},
	{Heading: "HANDED OUT HERE", Text: func(s agentapi.SubnetInventory) string { return rangeText(s.First, s.Last) },
		Shrinks: true},
	{Heading: "THIS HOST", Text: func(s agentapi.SubnetInventory) string { return addrText(s.HostAddress) }},
}

var memberColumns = []output.Column[agentapi.MemberInventory]{
	{Heading: "HOST", Text: func(m agentapi.MemberInventory) string { return m.Name }, Shrinks: true},
	{Heading: "STATE", Text: memberState},
	{Heading: "CONTAINERS", Text: func(m agentapi.MemberInventory) string { return fmt.Sprint(m.Containers) }},
	{Heading: "MTU", Text: func(m agentapi.MemberInventory) string { return mtuText(m.MTU) }},
	{Heading: "VTEP", Text: func(m agentapi.MemberInventory) string { return m.VTEP.String() }},
	{Heading: "OWN ADDRESSES", Text: func(m agentapi.MemberInventory) string { return joinAddrs(m.HostAddrs) },
		Shrinks: true},
}

func memberState(m agentapi.MemberInventory) string {
	switch {
	case m.Self:
		return "this host"
	case m.Reachable:
		return "reachable"
	}
	return "unreachable"
}

var inspectedEndpointColumns = []output.Column[agentapi.EndpointInventory]{
	{Heading: "CONTAINER", Text: func(e agentapi.EndpointInventory) string { return e.Container }, Shrinks: true},
	{Heading: "ADDRESS", Text: func(e agentapi.EndpointInventory) string { return joinAddrs(e.Addrs) }, Shrinks: true},
	{Heading: "MAC", Text: func(e agentapi.EndpointInventory) string { return e.MAC }, Wide: true},
	{Heading: "HOST", Text: func(e agentapi.EndpointInventory) string { return e.Host }, Shrinks: true},
	{Heading: "STATE", Text: func(e agentapi.EndpointInventory) string { return e.State }},
}
