package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/packettrace"
)

// An agent traces what comes from its own container by that container's port, and everything else by
// the tunnel.
func TestTraceByTheRightDevice(t *testing.T) {
	withAgent(t, func(t *testing.T, r *rig) {
		r.setup(1)
		r.startIdle()
		var devices []string
		r.TracePackets = func(_ context.Context, matches []packettrace.Match, _ func(), each func(packettrace.Event)) error {
			for _, m := range matches {
				if m.Family == "netdev" {
					devices = append(devices, m.Device)
				}
			}
			each(packettrace.Event{ID: "1", Family: "inet", Table: "t", Chain: "c", Packet: &packettrace.Packet{Protocol: "tcp"}})
			each(packettrace.Event{ID: "1", Family: "inet", Table: "t", Chain: "c", Rule: "drop", Verdict: "drop"})
			return context.DeadlineExceeded
		}
		n := r.dns.Networks()[0]
		own := n.Endpoints[0].Addrs[0].Addr()
		for _, src := range []netip.Addr{own, netip.MustParseAddr("10.0.0.200")} {
			got := r.handleRequest(t.Context(), agentapi.Request{Verb: agentapi.VerbTrace, Trace: &agentapi.TraceRequest{
				VNI: n.Tunnel.VNI, Port: n.Tunnel.Port, Src: src, Dst: netip.MustParseAddr("10.0.0.9"), For: time.Second,
			}})
			if want := "[{1 inet t c tcp ? → ?   } {1 inet t c  drop  drop}]"; got.Error != "" || fmt.Sprint(got.Trace) != want {
				t.Errorf("trace is %v, %s", got.Trace, got.Error)
			}
		}
		if want := []string{n.Port(n.Endpoints[0].Endpoint), n.Device.Name}; !slices.Equal(devices, want) {
			t.Errorf("traced by %v, want %v", devices, want)
		}
		r.finish()
	})
}

func TestBadTracesAreRefused(t *testing.T) {
	addr := netip.MustParseAddr
	a := &Agent{TracePackets: func(context.Context, []packettrace.Match, func(), func(packettrace.Event)) error {
		t.Error("traced")
		return nil
	}}
	tests := []struct {
		request *agentapi.TraceRequest
		want    string
	}{
		{nil, "no two addresses"},
		{&agentapi.TraceRequest{Src: addr("10.0.0.1"), For: time.Second}, "no two addresses"},
		{&agentapi.TraceRequest{Src: addr("10.0.0.1"), Dst: addr("fd00::1"), For: time.Second}, "no two addresses of one family"},
		{&agentapi.TraceRequest{Src: addr("10.0.0.1"), Dst: addr("10.0.0.2"), For: time.Hour}, "is not between 0 and 10s"},
		{&agentapi.TraceRequest{Src: addr("10.0.0.1"), Dst: addr("10.0.0.2")}, "is not between 0 and 10s"},
	}
	for _, tt := range tests {
		if got := a.handleTrace(t.Context(), tt.request); !strings.Contains(got.Error, tt.want) {
			t.Errorf("%+v: %s", tt.request, got.Error)
		}
	}
}
