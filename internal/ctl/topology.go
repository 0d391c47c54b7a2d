package ctl

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/ctl/output"
	"vxlan-driver/internal/topology"
)

// TopologySource knows what is drawn.
type TopologySource interface {
	InventorySource
	// Status returns what the host's agent knows.
	Status() (agentapi.StatusReport, error)
}

func topologyCommand(host TopologySource) *cobra.Command {
	opts := output.Options{Drawings: []string{"text", "svg", "mermaid", "dot"}}
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "draw hosts, networks, containers and tunnels",
		Long: `Topology draws each network with its hosts, their containers, and the tunnels from
this host to the others. The agent of this host knows all of them.

A host is reachable if its agent answers. If the tunnel loses packets to a host that
is reachable, the drawing says so; "vxlanctl doctor" looks for the cause.

  text     a tree for the terminal
  svg      a picture that needs no other file
  mermaid  for Markdown: many viewers draw it
  dot      for Graphviz, such as dot -Tpng

Pictures show at most 20 containers of a host. Text and JSON have all. With --filter
only matching networks and hosts are drawn, and always this host.`,
		Example: `  vxlanctl topology
  vxlanctl topology --format svg > topology.svg
  vxlanctl topology --format dot | dot -Tpng -o topology.png
  vxlanctl topology --filter network=mynet --filter state=unreachable`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return opts.Run(cmd, func(p *output.Printer) error { return printTopology(p, host) })
		},
	}
	opts.AddListFlags(cmd, slices.Concat(output.Headings(drawnNetworkColumns), output.Headings(drawnHostColumns)))
	return cmd
}

// drawnNetworkColumns and drawnHostColumns are what a drawing is filtered by.
var (
	drawnNetworkColumns = []output.Column[topology.Network]{
		{Heading: "NETWORK", Text: func(n topology.Network) string { return n.Name }},
		{Heading: "VNI", Text: func(n topology.Network) string { return fmt.Sprint(n.VNI) }},
	}
	drawnHostColumns = []output.Column[topology.Host]{
		{Heading: "HOST", Text: func(h topology.Host) string { return h.Name }},
		{Heading: "STATE", Text: func(h topology.Host) string { return h.State }},
	}
)

// wantedTopology leaves out what the user filters out, but never this host, where the tunnels begin.
func wantedTopology(p *output.Printer, drawn topology.Topology) topology.Topology {
	drawn.Networks = output.Wanted(p, drawnNetworkColumns, drawn.Networks)
	for i, n := range drawn.Networks {
		drawn.Networks[i].Hosts = slices.DeleteFunc(slices.Clone(n.Hosts), func(h topology.Host) bool {
			return h.State != topology.StateSelf && !output.Wants(p, drawnHostColumns, h)
		})
	}
	return drawn
}

func printTopology(p *output.Printer, host TopologySource) error {
	drawn, alone, err := readTopology(host)
	if err != nil {
		return fmt.Errorf("draw topology: %w", err)
	}
	drawn = wantedTopology(p, drawn)
	return p.Report(drawn, func(out io.Writer) error {
		_, err := io.WriteString(out, drawTopology(p, drawn, notesOf(alone)))
		return err
	})
}

// readTopology asks the agent. Where none runs, nothing is known of other hosts, and alone is true.
func readTopology(host TopologySource) (drawn topology.Topology, alone bool, err error) {
	all, alone, err := host.Inventory()
	if err != nil {
		return topology.Topology{}, false, err
	}
	var status agentapi.StatusReport
	if !alone {
		if status, err = host.Status(); err != nil {
			return topology.Topology{}, false, err
		}
	}
	return topology.New(all, status), alone, nil
}

func drawTopology(p *output.Printer, drawn topology.Topology, notes []string) string {
	switch p.Drawing {
	case "svg":
		return drawn.SVG()
	case "mermaid":
		return drawn.Mermaid()
	case "dot":
		return drawn.Dot()
	}
	if p.Quiet {
		text := ""
		for _, n := range drawn.Networks {
			text += n.Name + "\n"
		}
		return text
	}
	text := drawn.Text(p.Width)
	for _, n := range notes {
		text += p.Wrap("# ", "#   ", n)
	}
	return text
}
