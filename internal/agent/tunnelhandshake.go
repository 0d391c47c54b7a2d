package agent

import "time"

// awaitsHandshake tells whether nothing can pass to a host yet.
func (p *probedPeer) awaitsHandshake() bool { return time.Now().Before(p.handshakeBy) }

// readHandshakes finds out whether WireGuard has had handshakes with hosts for whose first one is waited. It asks the
// device only while there are some.
func (p *tunnelProber) readHandshakes(n *probedNetwork) {
	if n.handshakes == nil || !p.awaitsAnyHandshake(n) {
		return
	}
	had := n.handshakes()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, peer := range n.peers {
		if had[peer.member.VTEP] {
			peer.handshakeBy = time.Time{}
		}
	}
}

func (p *tunnelProber) awaitsAnyHandshake(n *probedNetwork) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, peer := range n.peers {
		if peer.awaitsHandshake() {
			return true
		}
	}
	return false
}

// postpone tells whether a host is not to be probed yet. What was lost before the first handshake would count as loss
// for countedTime.
func (p *tunnelProber) postpone(n *probedNetwork, peer *probedPeer) bool {
	p.readHandshakes(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !peer.awaitsHandshake() {
		return false
	}
	peer.busy, peer.due = false, time.Now().Add(handshakePoll)
	p.wakeUp()
	return true
}
