package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/packettrace"
)

// maxTraceEvents bounds an answer. One packet makes a few dozens.
const maxTraceEvents = 2000

// traces is how many traces may run at once: each makes the kernel report packets.
var traces = make(chan struct{}, 2)

// handleTrace reports what this host's firewall rules do with packets between two addresses.
func (a *Agent) handleTrace(ctx context.Context, r *agentapi.TraceRequest) agentapi.Response {
	switch {
	case r == nil || !r.Src.IsValid() || !r.Dst.IsValid() || r.Src.BitLen() != r.Dst.BitLen():
		return agentapi.Response{Error: "trace: the request has no two addresses of one family"}
	case r.For <= 0 || r.For > agentapi.MaxTrace:
		return agentapi.Response{Error: fmt.Sprintf("trace: %v is not between 0 and %v", r.For, agentapi.MaxTrace)}
	case a.TracePackets == nil:
		return agentapi.Response{Error: "trace: this vxland cannot trace"}
	}
	select {
	case traces <- struct{}{}:
		defer func() { <-traces }()
	default:
		return agentapi.Response{Error: "trace: others are tracing on this host; try again in a moment"}
	}
	events, err := a.collectTrace(ctx, r)
	if err != nil {
		return errorResponse(err)
	}
	return agentapi.Response{Trace: events}
}

func (a *Agent) collectTrace(ctx context.Context, r *agentapi.TraceRequest) (events []agentapi.TraceEvent, err error) {
	flow := packettrace.Flow{Src: r.Src, Dst: r.Dst, Port: r.Port, VNI: r.VNI}
	for _, n := range a.dns.Networks() {
		if n.Tunnel.VNI == r.VNI && n.Tunnel.Port == r.Port {
			flow.Devices = incomingDevices(n, r.Src)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.For)
	defer cancel()
	err = a.TracePackets(ctx, flow.Matches(), func() {}, func(e packettrace.Event) {
		if len(events) < maxTraceEvents {
			events = append(events, e.Report())
		}
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return events, err
}

// incomingDevices are the links by which packets from an address come in: the tunnel, or the port of
// a container of this host.
func incomingDevices(n hoststate.Network, src netip.Addr) []string {
	for _, r := range n.Endpoints {
		for _, p := range r.Addrs {
			if p.Addr() == src {
				return []string{n.Port(r.Endpoint)}
			}
		}
	}
	return []string{n.Device.Name}
}
