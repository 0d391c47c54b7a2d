package gossip

import (
	"context"
	"slices"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

const (
	// ackRetryInterval is when a request or an answer counts as lost. It is longer than a host
	// takes to follow, unless that is busy.
	ackRetryInterval = 100 * time.Millisecond
	// maxBystanders is how many hosts are asked besides a network's members. One of them may be
	// about to become a member, when neither host has heard of the other yet. In a larger cluster
	// some host is always slow, and all would wait for it.
	maxBystanders = 64
)

// Confirm waits until the members of a network, and some other hosts, follow what this host last
// Set: their kernels then know of this host. It returns the hosts that have not said so by the time
// that ctx is done.
func (p *Plane) Confirm(ctx context.Context, network cluster.NetworkKey) (silent []string) {
	p.mu.Lock()
	if !p.running {
		p.mu.Unlock()
		return nil
	}
	wait := p.replica.AwaitAcks(p.peersToConfirmLocked(network))
	p.mu.Unlock()
	for retry := true; retry; {
		p.mu.Lock()
		p.replica.RequestAcks(wait)
		p.mu.Unlock()
		timer := time.NewTimer(ackRetryInterval)
		select {
		case <-timer.C:
		case <-wait.Done():
			retry = false
		case <-ctx.Done():
			retry = false
		}
		timer.Stop()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, host := range p.replica.EndAckWait(wait) {
		silent = append(silent, p.labelLocked(host))
	}
	slices.Sort(silent)
	return silent
}

// labelLocked is how a person knows a host.
func (p *Plane) labelLocked(host wire.Key) string { return p.replica.Label(host) }

// peersToConfirmLocked returns the reachable members of a network, and up to maxBystanders others.
func (p *Plane) peersToConfirmLocked(network cluster.NetworkKey) (peers []wire.Key) {
	isMember := make(map[cluster.HostID]bool)
	for _, m := range p.snapshot.Members(network) {
		isMember[m.ID] = true
	}
	bystanders := 0
	for host := range p.peers.members {
		if p.replica.HasLeft(host) {
			continue // memberlist has not noticed yet
		}
		if !isMember[host.ID] {
			if bystanders++; bystanders > maxBystanders {
				continue
			}
		}
		peers = append(peers, host)
	}
	return peers
}

// AckRequested returns a channel that has a value when another host waits until this one follows
// what it published.
func (p *Plane) AckRequested() <-chan struct{} { return p.replica.AckRequested() }

// Acknowledge tells hosts that wait for it that this host's kernel follows a snapshot.
func (p *Plane) Acknowledge(s cluster.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replica.Acknowledge(s.Sequence)
}
