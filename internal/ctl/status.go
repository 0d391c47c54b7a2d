package ctl

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
)

func statusCommand(host Host, version string) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "show networks, other hosts and problems, as this host's agent sees them",
		Long: `Status shows what this host's agent (vxland) knows:

  problem     the agent's last error; it tries again
  outdated    why the agent should restart; "vxlanctl reload" makes it do so
  warning     what is about to fail on this host, and what to do
  conflict    two containers have one address: restart one; or one name: rename one
  difference  what another host set up differently on the same network
  firewall    rules of another program that drop what a network needs, and commands
              that let it pass
  network     a network with containers on this host, and its containers elsewhere
  sends from  the underlay's address and interface, and the network's MTU
  VXLAN       a host that containers' packets do not reach, or only small ones do
  key         which key encrypts, and which ones only decrypt; each is named by a hash,
              which is the same on all hosts
  cluster     the other hosts, and whether this one has contact to any; the names of an
              unreachable host are hidden
  refused     messages that the agent refused since it started: why, from whom, for
              how long, and what to do
  host does not list this one, host refuses this one
              hosts that refuse this one, and what to do
  no agent yet
              listed hosts that do not answer, as while they have no container

On a healthy host there are only network, sends from, key, cluster and perhaps
no agent yet.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := host.Status()
			if errors.Is(err, agentapi.ErrNotRunning) {
				return printWithoutAgent(cmd.OutOrStdout(), host)
			}
			if err != nil {
				return fmt.Errorf("status: %w", err)
			}
			if r.Version != version && len(r.Outdated) == 0 { // the programs of before do not say why
				r.Outdated = append(r.Outdated, fmt.Sprintf("it is version %s, and vxlanctl %s", r.Version, version))
			}
			printReport(cmd.OutOrStdout(), r)
			return nil
		},
	}
}

// printWithoutAgent says whether somebody misses the agent.
func printWithoutAgent(out io.Writer, host Host) error {
	containers, err := host.ContainersWithAgent()
	if err != nil && containers == 0 {
		return fmt.Errorf("status: vxland does not run: %w", err)
	}
	if containers == 0 {
		fmt.Fprintln(out, "vxland does not run; it starts with the first container of a network with names or discovery=gossip")
		fmt.Fprintln(out, "without it, networks follow a change of the underlay when you run `vxlanctl reload`, or enable vxland.service")
		return nil
	}
	fmt.Fprintf(out, "vxland does not run, but %d containers need it: run `vxlanctl reload`, which starts it\n", containers)
	return nil
}

func printReport(out io.Writer, r agentapi.StatusReport) {
	fmt.Fprintf(out, "vxland %s\n", r.Version)
	if r.Problem != "" {
		fmt.Fprintf(out, "problem: %s\n", r.Problem)
	}
	for _, why := range r.Outdated {
		fmt.Fprintf(out, "outdated: %s; run `vxlanctl reload`\n", why)
	}
	for _, text := range r.Warnings {
		fmt.Fprintf(out, "warning: %s\n", text)
	}
	for _, text := range r.Conflicts {
		fmt.Fprintf(out, "conflict: %s\n", text)
	}
	for _, text := range r.Differences {
		fmt.Fprintf(out, "difference: %s\n", text)
	}
	for _, text := range r.BlockingChains {
		fmt.Fprintf(out, "firewall: %s\n", text)
	}
	for _, n := range r.Networks {
		fmt.Fprintf(out, "network %s: VNI %d, %d containers here, %d on %d other hosts\n", n.Name, n.VNI, n.Local, n.Remote, n.Members)
		if n.Underlay != "" {
			fmt.Fprintf(out, "  sends %s\n", n.Underlay)
		}
		printTunnels(out, n.Tunnels)
	}
	if r.Keys != "" {
		fmt.Fprintf(out, "key %s\n", r.Keys)
	}
	for _, c := range r.Clusters {
		fmt.Fprintf(out, "cluster of %s%s\n", c.Name, contact(c))
		for _, h := range c.Hosts {
			state := "reachable"
			if !h.Reachable {
				state = "unreachable; its entries are hidden"
			}
			fmt.Fprintf(out, "  host %s: %s\n", h.Name, state)
		}
		if slices.ContainsFunc(c.Hosts, func(h agentapi.HostStatus) bool { return !h.Reachable }) {
			fmt.Fprintln(out, "    what to do: `vxlanctl host forget HOST` frees the addresses of one that is gone for good")
		}
		printRefusals(out, c.Refused)
	}
}

// contact says what is wrong with a cluster's contact to other hosts, if anything.
func contact(c agentapi.ClusterStatus) string {
	switch {
	case c.Stale > 0:
		return fmt.Sprintf(": no contact to any other host for %v", c.Stale.Round(time.Second))
	case c.Syncing:
		return ": still asking the other hosts what they have"
	}
	return ""
}
