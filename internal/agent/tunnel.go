package agent

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// TunnelConn sends probes through a network's tunnel, and answers those of other hosts.
type TunnelConn interface {
	// Probe tells whether the host whose bridge has the MAC answers a frame of size bytes, as an
	// MTU counts them, before ctx is done.
	Probe(ctx context.Context, bridge kernel.MAC, size int) (answered bool, err error)
	// Series sends a number of frames of a size, and tells what became of them.
	Series(ctx context.Context, bridge kernel.MAC, size, count int) (kernel.FrameSeries, error)
	// LastHeard returns when a probe of that host came last, zero if none ever did.
	LastHeard(bridge kernel.MAC) time.Time
	// Closed is closed when the devices are gone.
	Closed() <-chan struct{}
	Close() error
}

const (
	// probeInterval is when a host is probed again whose answers come. It grows with the number of
	// hosts, so that all probes together begin no more than once a probeGap. A probe and an answer
	// take 0.4 ms of a processor that was idle, so 1,000 hosts take less than a thousandth of it.
	probeInterval = time.Minute
	probeGap      = 500 * time.Millisecond
	// lostInterval is when a host is probed again while packets to it are lost. Nobody hears of a
	// first failure: the other agent may have been busy. If it has ended, gossip says so by then.
	lostInterval = 10 * time.Second
	// newPeerGap spreads the first probes of a host by all others, which hear of it at the same
	// time. Its agent reads a limited number in a second.
	newPeerGap = 10 * time.Millisecond
	// heardInterval is within what time a host that is not reached is heard, if it reaches this
	// one.
	heardInterval = 3 * lostInterval
	// handshakeTime is for how long a host of an encrypted network is not probed before WireGuard's first handshake
	// with it: until then nothing can pass. WireGuard begins one at once, and again after five seconds.
	handshakeTime = 10 * time.Second
	// handshakePoll is how often it is looked meanwhile whether there was one.
	handshakePoll = 500 * time.Millisecond
)

// tunnelProber finds out whether the containers' frames reach the other hosts. The agents' own port
// may be open where that of VXLAN is not.
type tunnelProber struct {
	open func(bridge, device string, mac kernel.MAC) (TunnelConn, error) // nil: nothing is probed
	// handshakes returns the VTEPs with which an encrypted network's WireGuard has had a handshake.
	handshakes func(networkID string) map[netip.Addr]bool
	log        *slog.Logger
	wake       chan struct{} // a host is due earlier than Run knows

	mu       sync.Mutex
	networks map[string]*probedNetwork // by ID
	examined time.Time                 // when all tunnels were last probed at once
	// seriesUnderWay are the series that are being sent; nil: none are.
	seriesUnderWay *seriesRun
}

// probedNetwork is a network whose hosts are probed.
type probedNetwork struct {
	name  string
	port  uint16
	mtu   int
	conn  TunnelConn
	peers map[kernel.MAC]*probedPeer // by their bridges
	// handshakes are as the prober has them; nil: the network is not encrypted.
	handshakes func() map[netip.Addr]bool
	// members are those that the peers were made from.
	members []*cluster.Member
}

// probedPeer is another host of a network.
type probedPeer struct {
	member *cluster.Member
	due    time.Time
	// handshakeBy is until when it is not probed without a handshake; zero: there was one, or none is needed.
	handshakeBy time.Time

	busy     bool // it is being probed
	failures int  // in a row
	state    tunnelState

	counts    frameCounts
	measured  time.Time // last, by package boottime; zero: never
	roundTrip time.Duration
	series    frameSeries
}

// UpdatePeers sets which hosts are probed: all reachable members. A new one is probed soon.
func (p *tunnelProber) UpdatePeers(networks []hoststate.Network, rosterOf func(membership.Network) *membership.Roster) {
	if p.open == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := make(map[string]*probedNetwork)
	for _, local := range networks {
		if !local.NeedsAgent() || local.Tunnel.Group.IsValid() {
			continue
		}
		n := toMembership(local)
		if probed := p.openLocked(n); probed != nil {
			probed.setPeers(n.Tunnel.VNI, rosterOf(n).Members())
			kept[n.ID] = probed
		}
	}
	for id, probed := range p.networks {
		if kept[id] != probed {
			_ = probed.conn.Close() // nothing is unsent
		}
	}
	p.networks = kept
	p.wakeUp()
}

func (p *tunnelProber) wakeUp() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// openLocked returns the network as it is probed, with a connection to its devices as they are now,
// or nil while they are missing.
func (p *tunnelProber) openLocked(n membership.Network) *probedNetwork {
	have := p.networks[n.ID]
	if have != nil && have.mtu == n.VTEP.MTU && !isClosed(have.conn.Closed()) {
		return have
	}
	conn, err := p.open(n.Bridge.Name, n.Device.Name, network.BridgeMAC(n.Tunnel.VNI, n.VTEP.Local))
	if err != nil {
		p.log.Debug("cannot probe the tunnel", "network", n.Name, "err", err)
		return nil
	}
	probed := &probedNetwork{name: n.Name, port: n.Tunnel.Port, mtu: n.VTEP.MTU, conn: conn,
		peers: make(map[kernel.MAC]*probedPeer)}
	if n.Encrypts() && p.handshakes != nil {
		probed.handshakes = func() map[netip.Addr]bool { return p.handshakes(n.ID) }
	}
	return probed
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (n *probedNetwork) setPeers(vni uint32, members []*cluster.Member) {
	if slices.Equal(n.members, members) {
		return
	}
	n.members = members
	peers := make(map[kernel.MAC]*probedPeer, len(members))
	for _, m := range members {
		mac := network.BridgeMAC(vni, m.VTEP)
		switch {
		case !m.Reachable || !answersProbes(m.Membership):
		case n.peers[mac] != nil:
			peers[mac] = n.peers[mac]
			peers[mac].member = m
		default:
			spread := time.Duration(len(members)) * newPeerGap
			peers[mac] = &probedPeer{member: m, due: time.Now().Add(rand.N(spread))}
			if n.handshakes != nil {
				peers[mac].handshakeBy = time.Now().Add(handshakeTime)
			}
		}
	}
	n.peers = peers
}

// answersProbes tells whether a member's agent answers probes. One that does also says the MTU. One
// that does not is of an early version, or is about to join and has no devices yet.
func answersProbes(m cluster.Membership) bool { return m.View.MTU > 0 }

// Run probes until ctx is done.
func (p *tunnelProber) Run(ctx context.Context) {
	var probes sync.WaitGroup
	defer probes.Wait()
	for ctx.Err() == nil {
		start, wait := p.takeDue(time.Now())
		if start != nil {
			probes.Go(func() { start(ctx) })
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-p.wakeIf(start == nil):
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// wakeIf returns what ends a pause early. The gap after a probe is never shorter.
func (p *tunnelProber) wakeIf(idle bool) <-chan struct{} {
	if idle {
		return p.wake
	}
	return nil
}

// takeDue returns what probes the host that is due for longest, if one is, and when to ask again.
func (p *tunnelProber) takeDue(now time.Time) (start func(context.Context), wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var network *probedNetwork
	var mac kernel.MAC
	next := now.Add(probeInterval)
	for _, n := range p.networks {
		for m, peer := range n.peers {
			if !peer.busy && peer.due.Before(next) {
				network, mac, next = n, m, peer.due
			}
		}
	}
	if network == nil || next.After(now) {
		return nil, next.Sub(now)
	}
	peer := network.peers[mac]
	peer.busy = true
	return func(ctx context.Context) { p.probe(ctx, network, mac, peer) }, probeGap
}

// probe probes a host, and notes what has changed.
func (p *tunnelProber) probe(ctx context.Context, n *probedNetwork, mac kernel.MAC, peer *probedPeer) {
	if p.postpone(n, peer) {
		return
	}
	m, err := measureTunnel(ctx, tunnelPath{n.conn, mac}, n.mtu, peer.state)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.wakeUp() // Run does not know when the host is due next
	peer.busy = false
	peer.due = time.Now().Add(p.intervalLocked())
	if err != nil || ctx.Err() != nil {
		return // the devices are gone; the next turn opens others
	}
	if n.peers[mac] != peer {
		return // the host has left the network meanwhile, or its agent has ended
	}
	if m.isGood() {
		peer.failures = 0
	} else {
		peer.failures++
		peer.due = time.Now().Add(lostInterval)
	}
	isFirstFailure := peer.failures == 1 && peer.state.isGood()
	hasChanged := m.tunnelState != peer.state && !isFirstFailure
	isFirstAnswer := m.isGood() && peer.roundTrip == 0 // the host may have set up its end a moment ago
	if hasChanged || isFirstAnswer {
		peer.counts = frameCounts{} // those of before tell nothing of how it is now
		if m.isGood() {
			m.full.sent = m.full.answered // the others may have been lost before
		}
	}
	if hasChanged {
		peer.state = m.tunnelState
		p.logState(n, peer)
	}
	peer.note(m)
}

// note keeps what was measured.
func (p *probedPeer) note(m tunnelMeasurement) {
	p.measured = boottime.Now()
	p.counts.Add(p.measured, m)
	if m.roundTrip > 0 {
		p.roundTrip = m.roundTrip
	}
}

// intervalLocked is when a host is probed again that answers.
func (p *tunnelProber) intervalLocked() time.Duration {
	peers := 0
	for _, n := range p.networks {
		peers += len(n.peers)
	}
	interval := max(probeInterval, time.Duration(peers)*probeGap)
	return interval + rand.N(interval/8)
}

func (p *tunnelProber) logState(n *probedNetwork, peer *probedPeer) {
	log := p.log.With("network", n.name, "host", peer.member.Host, "port", n.port)
	switch {
	case peer.state.lost:
		log.Warn("VXLAN packets to a host are lost; is its UDP port open?")
	case peer.state.passing > 0:
		log.Warn("large VXLAN packets to a host are lost; the underlay has a smaller MTU somewhere", "lost", n.mtu,
			"pass", peer.state.passing)
	default:
		log.Info("VXLAN packets to a host pass again")
	}
}

// Status returns what is wrong with a network's tunnels.
func (p *tunnelProber) Status(networkID string) (all []agentapi.TunnelStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.networks[networkID]
	if n == nil {
		return nil
	}
	for mac, peer := range n.peers {
		if peer.state.isGood() {
			continue
		}
		all = append(all, agentapi.TunnelStatus{
			Host: peer.member.Host, Port: n.port, Size: n.mtu, Passing: peer.state.passing,
			Heard: isWithin(p.heardWindowLocked(), n.conn.LastHeard(mac)),
		})
	}
	return all
}

// isWithin tells whether a time was within the last d. The zero time was not.
func isWithin(d time.Duration, t time.Time) bool { return !t.IsZero() && time.Since(t) < d }

// hostKey is a host of a cluster by one of its addresses.
type hostKey struct {
	id   cluster.HostID
	addr netip.Addr
}

// Paths returns what is measured of the ways to all hosts that are probed, of each host in the order
// of its networks' names.
func (p *tunnelProber) Paths() map[hostKey][]agentapi.PathStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, all := boottime.Now(), make(map[hostKey][]agentapi.PathStatus)
	for _, n := range slices.SortedFunc(maps.Values(p.networks),
		func(a, b *probedNetwork) int { return cmp.Compare(a.name, b.name) }) {
		for mac, peer := range n.peers {
			key := hostKey{peer.member.ID, peer.member.Addr}
			all[key] = append(all[key], n.pathStatus(mac, peer, now))
		}
	}
	return all
}

func (n *probedNetwork) pathStatus(mac kernel.MAC, peer *probedPeer, now time.Time) agentapi.PathStatus {
	counted := peer.counts.Sum(now)
	s := agentapi.PathStatus{
		Network: n.name, VTEP: peer.member.VTEP, FullSize: n.mtu, RoundTrip: peer.roundTrip,
		Full:  agentapi.FrameCount{Sent: int(counted.full.sent), Answered: int(counted.full.answered)},
		Small: agentapi.FrameCount{Sent: int(counted.small.sent), Answered: int(counted.small.answered)},
	}
	if !peer.measured.IsZero() {
		s.Measured = now.Sub(peer.measured)
		s.MTU = peer.state.largest(n.mtu)
	}
	if heard := n.conn.LastHeard(mac); !heard.IsZero() {
		s.Heard = time.Since(heard)
	}
	s.Series = peer.series.report(now)
	return s
}
