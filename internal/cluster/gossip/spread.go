package gossip

import (
	"context"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"vxlan-driver/internal/cluster/gossip/wire"
)

// memberlist passes on what it knows of members at a fixed interval, whether there is news or not.
// An agent at rest would wake ten times a second for that. So the interval is long, and when a host
// comes or goes, some members are pinged: the library sends its news along with a ping, and with
// the answer.
const (
	// gossipInterval is for news that we are not told of: who is suspected to be unreachable, and
	// who has denied it. A suspicion lasts four seconds or more.
	gossipInterval = time.Second
	// spreadInterval is the time from one round of pings to the next. A round reaches more members
	// than the one before, as these ping others too.
	spreadInterval = 50 * time.Millisecond
	// minSpreadRounds is for how many rounds the library has one piece of news to send: its
	// RetransmitMult. Five pieces fit a ping, and five its answer, so the news of all hosts takes
	// fewer rounds than half of their number.
	minSpreadRounds = 4
)

// spreadMembersLocked begins to spread one more piece of news of members.
func (p *Plane) spreadMembersLocked() {
	p.spreadRounds = max(minSpreadRounds, min(p.spreadRounds+1, len(p.peers.members)/2))
	wakeLoop(p.wakeSpreader)
}

// spreadDelay returns what to add to rejoinDelay in a large cluster, where it takes longer until
// all have heard of a host. A host that starts greets all members. If those that have not heard of
// it yet joined it all at once, it would exchange the state of all members with each of them.
func (p *Plane) spreadDelay() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return rand.N(time.Duration(len(p.peers.members)+1) * 2 * time.Millisecond)
}

// spreadLoop pings members while there is news of others.
func (p *Plane) spreadLoop(ctx context.Context) {
	var pings sync.WaitGroup
	defer pings.Wait()
	for {
		select {
		case <-p.wakeSpreader:
		case <-ctx.Done():
			return
		}
		for peers := p.nextSpread(); len(peers) > 0; peers = p.nextSpread() {
			for _, peer := range peers {
				pings.Go(func() { // only what goes along with the ping counts
					_, _ = p.memberlist.Ping(peer.String(), net.UDPAddrFromAddrPort(peer.Addr))
				})
			}
			if !waitFor(ctx, spreadInterval) {
				return
			}
		}
	}
}

// nextSpread returns the members to ping in this round: as many as memberlist tells of its news at
// a time, the logarithm of their number.
func (p *Plane) nextSpread() (peers []wire.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.spreadRounds == 0 {
		return nil
	}
	p.spreadRounds--
	members := p.peers.listMembers()
	count := min(len(members), int(math.Ceil(math.Log10(float64(len(members)+2)))))
	for range count {
		peers = append(peers, members[rand.N(len(members))])
	}
	return peers
}
