package ctl

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
)

// HostForgetter takes hosts out of the cluster.
type HostForgetter interface {
	StatusSource
	// ForgetHost takes a host that is gone for good out of its cluster. It returns the host's whole
	// name, and a warning.
	ForgetHost(name string) (host, warning string, err error)
}

func hostCommand(host HostForgetter) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "list the other hosts, and forget one that is gone for good",
		Long: `Host lists the other hosts of this host's networks, as the agent (vxland) sees
them, and forgets one that is gone for good.`,
		Example: "  vxlanctl host ls\n  vxlanctl host forget host-c",
		Args:    subcommandArg,
		RunE:    printHelp,
	}
	cmd.AddCommand(hostListCommand(host), hostForgetCommand(host))
	return cmd
}

func hostListCommand(host StatusSource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "list the other hosts of this host's networks",
		Long: `Ls lists the other hosts that this host's agent (vxland) knows, with what they have
and what the agent measures. A host that does not answer is listed until it is
forgotten.

  CONTAINERS  of all networks that this host has, too
  SINCE       for how long the host has been reachable or not
  RTT         of the agents' messages
  LOSS        of frames through the tunnel, in the last ten minutes
  PATH MTU    the largest frame of a container that passes`,
		Example: `  vxlanctl host ls
  vxlanctl host ls -q --filter state=unreachable
  vxlanctl host ls --format json`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				rows, notes, err := hostRows(host)
				if err != nil {
					return fmt.Errorf("list hosts: %w", err)
				}
				return output.Listing[hostRow]{Key: "hosts", Columns: hostColumns, Rows: rows, Notes: notes}.Print(p)
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(hostColumns))
	return cmd
}

// hostRow is another host.
type hostRow struct {
	agentapi.HostStatus
	State      string   `json:"state"`
	Networks   []string `json:"networks"` // of this host, on which the other one has containers
	Containers int      `json:"containers"`
}

var hostColumns = []output.Column[hostRow]{
	{Heading: "HOST", Text: func(r hostRow) string { return r.HostName }, Shrinks: true},
	{Heading: "ADDRESS", Text: func(r hostRow) string { return addrText(r.Addr) }},
	{Heading: "STATE", Text: func(r hostRow) string { return r.State }},
	{Heading: "SINCE", Text: func(r hostRow) string { return ageText(peerOf(r.HostStatus).since) }},
	{Heading: "NETWORKS", Text: func(r hostRow) string { return strings.Join(r.Networks, ",") }, Shrinks: true},
	{Heading: "CONTAINERS", Text: func(r hostRow) string { return strconv.Itoa(r.Containers) }},
	{Heading: "RTT", Text: func(r hostRow) string { return roundTripText(peerOf(r.HostStatus).roundTrip) }, Wide: true},
	{Heading: "LOSS", Text: func(r hostRow) string { return lossText(peerOf(r.HostStatus).paths) }, Wide: true},
	{Heading: "PATH MTU", Text: func(r hostRow) string { return pathMTUText(peerOf(r.HostStatus).paths) }, Wide: true},
}

// hostRows returns the other hosts. Without an agent they are those of the lists.
func hostRows(host StatusSource) (rows []hostRow, notes []string, err error) {
	r, err := host.Status()
	if err != nil && !errors.Is(err, agentapi.ErrNotRunning) {
		return nil, nil, err
	}
	all, alone, err := host.Inventory()
	if err != nil {
		return nil, nil, err
	}
	if alone {
		return listedHosts(all), notesOf(alone), nil
	}
	for _, c := range r.Clusters {
		for _, h := range c.Hosts {
			row := hostRow{HostStatus: h, State: peerOf(h).state, Networks: []string{}}
			for _, n := range all.Networks {
				for _, m := range n.Hosts {
					if m.Name == h.Name && !m.Self {
						row.Networks, row.Containers = append(row.Networks, n.Name), row.Containers+m.Containers
					}
				}
			}
			rows = append(rows, row)
		}
	}
	return rows, nil, nil
}

// listedHosts are the hosts that networks list, of which nothing else is known.
func listedHosts(all agentapi.Inventory) (rows []hostRow) {
	for _, n := range all.Networks {
		list, _ := readPeers(n.Options["remote_ips"]) // it was checked when the network was created
		for _, a := range list {
			i := slices.IndexFunc(rows, func(r hostRow) bool { return r.Addr == a })
			switch {
			case a == n.VTEP:
			case i >= 0:
				rows[i].Networks = append(rows[i].Networks, n.Name)
			default:
				rows = append(rows, hostRow{HostStatus: agentapi.HostStatus{Addr: a}, State: "unknown", Networks: []string{n.Name}})
			}
		}
	}
	return rows
}

func hostForgetCommand(host HostForgetter) *cobra.Command {
	return &cobra.Command{
		Use:   "forget HOST",
		Short: "forget a host that is gone for good, and free its addresses",
		Long: `Forget makes all hosts forget one that does not answer. The addresses of its
containers are free at once. Without the command they stay reserved for as long
as forget_after says.

HOST is the name or the address of a host that "vxlanctl host ls" lists. Where
several have that name, it is the one that does not answer.

Forget only a host that is gone for good. If it is only cut off, its containers
keep their addresses, and other containers may get them too. A host that comes
back announces itself again; it needs no command.`,
		Example: `  vxlanctl host forget host-c`,
		Args:    oneArg("forget host: type the name or the address of one host, as `vxlanctl host ls` lists it"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return unreachableHosts(host), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name, warning, err := host.ForgetHost(args[0])
			if err != nil {
				return err
			}
			output.Fprintf(cmd.OutOrStdout(), "host %s is forgotten; its addresses are free\n", name)
			if warning != "" {
				output.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
			}
			return nil
		},
	}
}

// unreachableHosts completes what is typed, as far as the agent answers.
func unreachableHosts(host StatusSource) (names []string) {
	r, err := host.Status()
	if err != nil {
		return nil
	}
	for _, c := range r.Clusters {
		for _, h := range c.Hosts {
			if h.Reachable {
				continue
			}
			if h.Addr.IsValid() {
				names = append(names, h.Addr.String())
			}
			if h.HostName != "" {
				names = append(names, h.HostName)
			}
		}
	}
	return names
}

// addrText prints an address, and nothing if there is none.
func addrText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
