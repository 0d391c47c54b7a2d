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

// handleInventory says in detail what is on the networks. The loop makes the answer, since what it
// knows of the other hosts changes with each of its turns.
func (a *Agent) handleInventory(ctx context.Context) agentapi.Response {
	if err := a.requests.SyncAndWait(ctx, membership.EndpointKey{}); ctx.Err() != nil {
		return errorResponse(err)
	}
	var found agentapi.Inventory
	if err := a.requests.RunInLoop(ctx, func() { found = a.takeInventory() }); err != nil {
		return errorResponse(err)
	}
	return agentapi.Response{Inventory: &found}
}

// takeInventory describes the networks as the last turn found them. The loop calls it.
func (a *Agent) takeInventory() agentapi.Inventory {
	found := agentapi.Inventory{Networks: []agentapi.NetworkInventory{}}
	host := a.identity()
	networks := allToMembership(a.networks)
	for _, n := range networks {
		self := cluster.Host{Name: host.Name, Addr: n.VTEP.Local}
		found.Networks = append(found.Networks, inventory.Describe(inventory.Known{
			Host: self.Label(), Network: n, Roster: a.forwarder.RosterOf(n), Others: a.clusters.SnapshotOf(n), Claims: a.claims.OfNetwork(n.ID),
		}))
	}
	slices.SortFunc(found.Networks, func(x, y agentapi.NetworkInventory) int { return strings.Compare(x.Name, y.Name) })
	var snapshots []cluster.Snapshot
	for _, m := range a.clusters.All() {
		snapshots = append(snapshots, m.Snapshot())
	}
	found.Elsewhere = inventory.Elsewhere(networks, snapshots)
	return found
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
