package main

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/bpfpath"
	"vxlan-driver/internal/kernel/fastpath"
	"vxlan-driver/internal/kernel/netstack"
)

// usePrograms lets the host's packets between containers of two hosts pass by eBPF programs. If they
// are not wanted, it removes those of an earlier agent, and returns nil.
func usePrograms(host *hoststate.Host, wanted bool) (*bpfpath.Programs, error) {
	programs := &bpfpath.Programs{Dir: fastpath.NamespacePins(""), AttachLater: true}
	if !wanted {
		host.Open = opening(netstack.OpenWithFastPath)
		return nil, programs.RemovePinned()
	}
	host.Open = opening(programs.Open)
	host.AttachNext = func(device string) error { return programs.AttachNext("", device) }
	host.FastPathChecksSenders = func(device string) bool { return programs.State(device).Reason == "" }
	return programs, nil
}

// opening returns what opens a namespace, as hoststate.Host has it.
func opening[NS hoststate.Namespace](open func(string) (NS, error)) func(string) (hoststate.Namespace, error) {
	return func(path string) (hoststate.Namespace, error) {
		ns, err := open(path)
		if err != nil {
			return nil, err // an untyped nil
		}
		return ns, nil
	}
}

// fastPathOf returns the agent's way to ask how packets go.
func fastPathOf(programs *bpfpath.Programs) func(device string) agentapi.FastPathStatus {
	if programs == nil {
		return nil
	}
	return func(device string) agentapi.FastPathStatus {
		s := programs.State(device)
		return agentapi.FastPathStatus{
			EBPF: s.Attached, Reason: s.Reason, LeftOut: s.LeftOut, LeftOutReason: s.LeftOutReason,
		}
	}
}

// keepPrograms lets the programs go on, and spares them the look-up of a route for each packet, until ctx
// is done.
func keepPrograms(ctx context.Context, programs *bpfpath.Programs, log *slog.Logger) {
	go programs.KeepValid(ctx, "")
	for ctx.Err() == nil {
		if err := programs.FollowRoutes(ctx, ""); err != nil {
			log.Warn("cannot follow routes to other hosts; each packet's route is looked up", "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(routesRetry):
		}
	}
}

// routesRetry is how long it takes until routes are followed again: what failed may have been for a moment, such
// as that there was no memory.
const routesRetry = time.Minute

// countsByHost returns the agent's way to ask what the programs have passed on to and from each host.
func countsByHost(programs *bpfpath.Programs) func(device string) (map[netip.Addr]agentapi.ProgramCounts, error) {
	if programs == nil {
		return nil
	}
	return func(device string) (map[netip.Addr]agentapi.ProgramCounts, error) {
		counters, err := programs.HostCounters(device)
		counts := make(map[netip.Addr]agentapi.ProgramCounts, len(counters))
		for vtep, c := range counters {
			counts[vtep] = agentapi.ProgramCounts{
				SentPackets: c.SentPackets, SentBytes: c.SentBytes,
				ReceivedPackets: c.ReceivedPackets, ReceivedBytes: c.ReceivedBytes,
			}
		}
		return counts, err
	}
}

// readCounters returns the agent's way to read what networks have counted. VXLAN devices do not see
// what the programs take.
func readCounters(programs *bpfpath.Programs) func(links []string) (kernel.Counters, error) {
	return func(links []string) (kernel.Counters, error) {
		counters, err := netstack.ReadCounters("", links)
		if err == nil && programs != nil {
			err = programs.AddCounters(counters.Links)
		}
		return counters, err
	}
}
