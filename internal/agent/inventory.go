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
// The rest is done beside it, while the answer is written: 50,000 containers take a part of a second.
func (a *Agent) handleInventory(ctx context.Context) agentapi.Response {
	if err := a.largeAnswers.Begin(ctx); err != nil {
		return errorResponse(err)
	}
	if err := a.requests.SyncAndWait(ctx, membership.EndpointKey{}); ctx.Err() != nil {
		return errorResponse(err)
	}
	var found []inventory.Description
	var networks []membership.Network
	err := a.requests.RunInLoop(ctx, func() {
		networks = allToMembership(a.networks)
		for _, n := range networks {
			found = append(found, inventory.Describe(a.knownOf(n)))
		}
	})
	if err != nil {
		return errorResponse(err)
	}
	slices.SortFunc(found, func(x, y inventory.Description) int { return strings.Compare(x.Name, y.Name) })
	var snapshots []cluster.Snapshot
	for _, m := range a.clusters.All() {
		snapshots = append(snapshots, m.Snapshot())
	}
	elsewhere := inventory.Elsewhere(networks, snapshots)
	return agentapi.Response{Stream: agentapi.StreamFunc(func(w *agentapi.ResponseWriter) {
		writeInventory(w, found, elsewhere)
	})}
}

// writeInventory writes a response with an agentapi.Inventory.
func writeInventory(w *agentapi.ResponseWriter, networks []inventory.Description,
	elsewhere []inventory.ElsewhereDescription) {
	w.Object("inventory", func() {
		agentapi.WriteObjects(w, "networks", networks, func(d inventory.Description) {
			w.Fields(d.NetworkInventory)
			agentapi.WriteList(w, "endpoints", d.Endpoints())
			agentapi.WriteList(w, "names", d.Names())
		})
		agentapi.WriteObjects(w, "elsewhere", elsewhere, func(d inventory.ElsewhereDescription) {
			w.Fields(d.NetworkElsewhere)
			agentapi.WriteList(w, "endpoints", d.Endpoints())
		})
	})
}

// knownOf returns a network as the last turn found it. The loop calls it.
func (a *Agent) knownOf(n membership.Network) inventory.Known {
	host := a.identity()
	self := cluster.Host{Name: host.Name, Addr: n.VTEP.Local}
	known := inventory.Known{
		Host: self.Label(), Network: n, Others: a.clusters.SnapshotOf(n), Claims: a.claims.OfNetwork(n.ID),
	}
	if followed := a.forwarder.networks[n.ID]; followed != nil {
		known.Roster = followed.roster
	}
	return known
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
