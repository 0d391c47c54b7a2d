package agent

import (
	"context"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/inventory"
	"vxlan-driver/internal/membership"
)

// handleInventory says in detail what is on the networks. The loop tells what it knows after a turn.
// The rest is done beside it: 50,000 containers take a part of a second.
func (a *Agent) handleInventory(ctx context.Context) agentapi.Response {
	if err := a.requests.SyncAndWait(ctx, membership.EndpointKey{}); ctx.Err() != nil {
		return errorResponse(err)
	}
	var known []inventory.Known
	if err := a.requests.RunInLoop(ctx, func() { known = a.knownNetworks() }); err != nil {
		return errorResponse(err)
	}
	found := agentapi.Inventory{Networks: []agentapi.NetworkInventory{}}
	var networks []membership.Network
	for _, k := range known {
		found.Networks = append(found.Networks, inventory.Describe(k))
		networks = append(networks, k.Network)
	}
	slices.SortFunc(found.Networks, func(x, y agentapi.NetworkInventory) int { return strings.Compare(x.Name, y.Name) })
	var snapshots []cluster.Snapshot
	for _, m := range a.clusters.All() {
		snapshots = append(snapshots, m.Snapshot())
	}
	found.Elsewhere = inventory.Elsewhere(networks, snapshots)
	return agentapi.Response{Inventory: &found}
}

// knownNetworks returns the networks as the last turn found them. The loop calls it.
func (a *Agent) knownNetworks() (all []inventory.Known) {
	host := a.identity()
	for _, n := range allToMembership(a.networks) {
		self := cluster.Host{Name: host.Name, Addr: n.VTEP.Local}
		all = append(all, inventory.Known{
			Host: self.Label(), Network: n, Others: a.clusters.SnapshotOf(n), Claims: a.claims.OfNetwork(n.ID),
		})
	}
	return all
}

// RunInLoop runs what needs what only the loop may touch, between two turns.
func (b *requestBroker) RunInLoop(ctx context.Context, run func()) error {
	done := make(chan struct{})
	select {
	case b.inLoop <- func() { run(); close(done) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
