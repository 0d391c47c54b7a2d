package agent

import (
	"context"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/inventory"
	"vxlan-driver/internal/membership"
)

// handleForwarding compares the kernel's forwarding entries with what the cluster says. While hosts
// have news, the kernel is a moment behind. So what differs is looked at twice.
func (a *Agent) handleForwarding(ctx context.Context) agentapi.Response {
	first, err := a.compareForwarding(ctx)
	if err != nil || !slices.ContainsFunc(first, isDifferent) {
		return forwardingResponse(first, err)
	}
	second, err := a.compareForwarding(ctx)
	for i, e := range second {
		if isDifferent(e) && !slices.Contains(first, e) {
			second[i].State = agentapi.EntryOK
		}
	}
	return forwardingResponse(second, err)
}

func forwardingResponse(entries []agentapi.ForwardingEntry, err error) agentapi.Response {
	if err != nil {
		return errorResponse(err)
	}
	return agentapi.Response{Forwarding: entries}
}

func isDifferent(e agentapi.ForwardingEntry) bool { return e.State != agentapi.EntryOK }

// compareForwarding has the loop say what is wanted, as of the end of a turn, and then reads the
// kernel, which takes long where there are many entries.
func (a *Agent) compareForwarding(ctx context.Context) ([]agentapi.ForwardingEntry, error) {
	if err := a.requests.SyncAndWait(ctx, membership.EndpointKey{}); ctx.Err() != nil {
		return nil, err
	}
	var wanted []inventory.Wanted
	if err := a.requests.RunInLoop(ctx, func() { wanted = a.wantedForwarding() }); err != nil {
		return nil, err
	}
	entries := []agentapi.ForwardingEntry{}
	for _, w := range wanted {
		have, fastPath, err := a.Host.ReadForwarding(w.Forwarding)
		if err != nil {
			return nil, err
		}
		entries = append(entries, w.Compare(have, fastPath)...)
	}
	return entries, nil
}

// wantedForwarding is what the kernel should hold of each network. The loop calls it.
func (a *Agent) wantedForwarding() (all []inventory.Wanted) {
	for _, n := range a.forwarder.networks {
		want, flood := a.Host.WantedForwarding(n.local, n.knownRemotes())
		all = append(all, inventory.Wanted{Network: n.local.Name, Forwarding: want, Flood: flood, Owners: inventory.OwnersOf(n.roster)})
	}
	slices.SortFunc(all, func(a, b inventory.Wanted) int { return strings.Compare(a.Network, b.Network) })
	return all
}
