package ctl

import (
	"errors"
	"fmt"
	"net/netip"

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
		Args: subcommandArg,
		RunE: printHelp,
	}
	cmd.AddCommand(hostListCommand(host), hostForgetCommand(host))
	return cmd
}

func hostListCommand(host StatusSource) *cobra.Command {
	var opts output.Options
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "list the other hosts of this host's networks",
		Long: `Ls lists the other hosts that this host's agent (vxland) knows: name, address, and
whether the agent there answers. A host that does not answer is listed until it
is forgotten.`,
		Example: `  vxlanctl host ls
  vxlanctl host ls -q --filter 'state=unreachable*'
  vxlanctl host ls --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.Run(cmd, func(p *output.Printer) error {
				r, err := host.Status()
				if err != nil {
					return fmt.Errorf("list hosts: %w", err)
				}
				return output.Listing[agentapi.HostStatus]{Key: "hosts", Columns: hostColumns, Rows: knownHosts(r.Clusters)}.Print(p)
			})
		},
	}
	opts.AddListFlags(cmd, output.Headings(hostColumns))
	return cmd
}

var hostColumns = []output.Column[agentapi.HostStatus]{
	{Heading: "HOST", Text: func(h agentapi.HostStatus) string { return h.HostName }, Shrinks: true},
	{Heading: "ADDRESS", Text: func(h agentapi.HostStatus) string {
		return addrText(h.Addr)
	}},
	{Heading: "STATE", Text: func(h agentapi.HostStatus) string {
		if h.Reachable {
			return "reachable"
		}
		return "unreachable for " + ageText(h.UnreachableFor)
	}},
}

func knownHosts(clusters []agentapi.ClusterStatus) (hosts []agentapi.HostStatus) {
	for _, c := range clusters {
		hosts = append(hosts, c.Hosts...)
	}
	return hosts
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
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("forget host: type the name or the address of one host, as `vxlanctl host ls` lists it")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return unreachableHosts(host), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			name, warning, err := host.ForgetHost(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "host %s is forgotten; its addresses are free\n", name)
			if warning != "" {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", warning)
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
