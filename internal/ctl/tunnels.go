package ctl

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"vxlan-driver/internal/agentapi"
)

// printTunnels prints which hosts the packets of a network's containers do not reach.
func printTunnels(out io.Writer, tunnels []agentapi.TunnelStatus) {
	slices.SortFunc(tunnels, func(a, b agentapi.TunnelStatus) int { return cmp.Compare(a.Host, b.Host) })
	for _, t := range tunnels {
		switch {
		case t.Passing > 0:
			fmt.Fprintf(out, "  VXLAN to %s: %d bytes lost, %d pass; raise the underlay's MTU, or recreate the network with --opt mtu=%d\n", t.Host, t.Size, t.Passing, t.Passing)
		case t.Heard:
			fmt.Fprintf(out, "  VXLAN to %s lost, UDP %d; its packets arrive here: open the port there and on the way\n", t.Host, t.Port)
		default:
			fmt.Fprintf(out, "  VXLAN to %s lost, UDP %d; its packets do not arrive here: open the port on both hosts and on the way\n", t.Host, t.Port)
		}
	}
}
