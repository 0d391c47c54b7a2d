package gossip

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/replica"
)

const (
	// claimRetryInterval is when a claim or its answer counts as lost.
	claimRetryInterval = 50 * time.Millisecond
	// claimLimit bounds how long others may take to answer a claim. On a LAN they take less than a
	// millisecond. Where 30 % of the packets are lost, 40 attempts fail in one of 10¹² cases. A host
	// that has not answered by then is dying, or cut off: then both sides go on, and what they hand
	// out twice is settled later.
	claimLimit = 2 * time.Second
)

// Claim reserves addresses for a container, with the consent of all hosts that it reaches.
func (p *Plane) Claim(ctx context.Context, network cluster.NetworkKey, containerID string,
	addrs []netip.Addr) (map[netip.Addr]cluster.Holder, error) {
	p.mu.Lock()
	if p.leaving {
		p.mu.Unlock()
		return nil, errors.New("this host leaves the cluster")
	}
	asked, others := p.claimPeers.choose(network, maps.Keys(p.peers.members), p.replica.MayBeOn)
	wait, taken, err := p.replica.BeginClaim(replica.ClaimKey{Network: network, ContainerID: containerID}, addrs,
		asked, others)
	p.mu.Unlock()
	if err != nil || len(taken) > 0 {
		return taken, err
	}
	p.awaitAnswers(ctx, wait)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(err, p.replica.AbandonClaim(wait))
	}
	p.claimPeers.noteSilent(network, wait.Silent())
	for _, host := range wait.Silent() {
		p.log.Info("a host does not answer claims of addresses", "host", p.labelLocked(host))
	}
	return p.replica.EndClaim(wait)
}

// Release ends a claim.
func (p *Plane) Release(network cluster.NetworkKey, containerID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.replica.ReleaseClaim(replica.ClaimKey{Network: network, ContainerID: containerID}); err != nil {
		p.log.Warn("cannot withdraw a claim of addresses", "network", network.String(), "container", containerID, "err", err)
	}
}

// awaitAnswers returns when all hosts have answered, or it has lasted for too long.
func (p *Plane) awaitAnswers(ctx context.Context, wait *replica.ClaimWait) {
	ctx, cancel := context.WithTimeout(ctx, claimLimit)
	defer cancel()
	ticker := time.NewTicker(claimRetryInterval)
	defer ticker.Stop()
	p.mu.Lock()
	p.replica.RequestAnswers(wait)
	p.mu.Unlock()
	for {
		select {
		case <-wait.Done():
			return
		case <-ticker.C:
			p.mu.Lock()
			p.replica.RequestAnswers(wait)
			p.replica.RetryRequests(boottime.Now())
			p.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}
