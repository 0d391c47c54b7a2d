package metrics

import (
	"cmp"
	"time"

	"vxlan-driver/internal/agentapi"
)

// peerKey is a host as labels name it.
type peerKey struct{ name, address string }

// peer is another host, on all networks and in all clusters.
type peer struct {
	reachable  bool
	roundTrip  time.Duration
	silence    time.Duration // since a message by UDP was answered
	probed     bool          // through a tunnel
	loss       float64
	mtuDeficit int
}

// addPeers adds the other hosts. One may be known by two IDs after it was installed anew, or in two
// clusters. A metric must not have the same labels twice.
func (s samples) addPeers(clusters []agentapi.ClusterStatus) {
	known := make(map[peerKey]*peer)
	for _, c := range clusters {
		for _, h := range c.Hosts {
			key := keyOf(h)
			if known[key] == nil {
				known[key] = new(peer)
			}
			known[key].add(h)
		}
	}
	reachable := 0
	for key, p := range known {
		s.gauge(peerUp, number(p.reachable), key.name, key.address)
		if p.reachable {
			reachable++
			s.gauge(peerRTTAge, p.silence.Seconds(), key.name, key.address)
		}
		if p.roundTrip > 0 {
			s.gauge(peerRTT, p.roundTrip.Seconds(), key.name, key.address)
		}
		if p.probed {
			s.gauge(tunnelLoss, p.loss, key.name, key.address)
			s.gauge(tunnelMTUDeficit, float64(p.mtuDeficit), key.name, key.address)
		}
	}
	s.gauge(peers, float64(reachable), "reachable")
	s.gauge(peers, float64(len(known)-reachable), "unreachable")
}

func keyOf(h agentapi.HostStatus) peerKey {
	key := peerKey{name: cmp.Or(h.HostName, h.Name)}
	if h.Addr.IsValid() {
		key.address = h.Addr.String()
	}
	return key
}

// add adds what is known of a host: the worst of its networks.
func (p *peer) add(h agentapi.HostStatus) {
	p.reachable = p.reachable || h.Reachable
	p.roundTrip = cmp.Or(h.RoundTrip, p.roundTrip)
	p.silence = max(p.silence, silence(h))
	for _, path := range h.Paths {
		if loss, known := path.Loss(); known {
			p.probed = true
			p.loss = max(p.loss, loss)
			p.mtuDeficit = max(p.mtuDeficit, mtuDeficit(path))
		}
	}
}

// silence is for how long an agent that answers by TCP has not answered by UDP.
func silence(h agentapi.HostStatus) time.Duration {
	if h.RoundTrip == 0 {
		return h.ReachableFor
	}
	return min(h.RoundTripAge, h.ReachableFor)
}

// mtuDeficit is by how much the frames that pass are too small. Where none pass, that is the loss,
// and no matter of size.
func mtuDeficit(path agentapi.PathStatus) int {
	if path.MTU == 0 {
		return 0
	}
	return path.FullSize - path.MTU
}
