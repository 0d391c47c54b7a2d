package agent

import (
	"context"
	"net/netip"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/network"
)

// handleJoining tells the other hosts of a network that a first container is about to come, while
// the plugin builds it. So the start of the container mostly has nothing left to wait for. Where agents
// pick the addresses, no plugin asks for that.
func (a *Agent) handleJoining(r *agentapi.JoiningRequest) agentapi.Response {
	if r == nil {
		return agentapi.Response{Error: "join a network: the request names none"}
	}
	bind := a.clusters.bindAddr(network.DiscoveryStatic, r.VTEP)
	n := joinedNetwork{id: r.Network, key: cluster.NetworkKey{VNI: r.VNI, Port: r.Port}, binds: []netip.Addr{bind}}
	m := cluster.Membership{Network: n.key, VTEP: r.VTEP, StaticFDB: true}
	if err := a.claims.PublishJoining(bind, m); err != nil {
		return errorResponse(err)
	}
	a.confirmer.Begin(n)
	return agentapi.Response{}
}

// beginConfirm makes the other hosts of a network follow what the last turn published of it.
func (a *Agent) beginConfirm(networkID string) {
	n, ok := a.dns.Network(networkID)
	// What comes from a host without keys is not taken in, so those who follow it do not know it yet.
	if !ok || !n.NeedsAgent() || n.Encrypts() && n.VTEP.WireGuard == "" {
		return
	}
	key := cluster.NetworkKey{VNI: n.Tunnel.VNI, Port: n.Tunnel.Port}
	a.confirmer.Begin(joinedNetwork{id: n.ID, key: key, binds: a.clusters.bindAddrs(n.Network, n.VTEP.Local),
		encrypted: n.Encrypts()})
}

// confirmJoined waits until the other hosts of a network know of this one, if it has just become a
// member.
func (a *Agent) confirmJoined(ctx context.Context, networkID string) (warning string) {
	warning = a.awaitEncryption(ctx, networkID)
	a.beginConfirm(networkID)
	a.confirmer.Wait(ctx, networkID)
	return warning
}
