package agent

import (
	"errors"
	"reflect"

	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
)

// forwarder makes the kernel forward frames to the hosts that have their MACs.
type forwarder struct {
	clusters *clusterSet
	// applied has, by network, what the kernel was last given. Comparing it with the kernel takes
	// 50 ms beside 10,000 containers, so a network that the news are not about waits for the next
	// full turn.
	applied map[string]membership.Forwarding
}

// UpdateForwarding gives the kernel the forwarding of each network that has news, or, in a full
// turn, of all networks.
func (f *forwarder) UpdateForwarding(s *hoststate.Session, networks []hoststate.Network, what scope) error {
	var errs []error
	applied := make(map[string]membership.Forwarding)
	for _, local := range networks {
		if !local.NeedsAgent() {
			continue
		}
		n := toMembership(local)
		want := f.clusters.DiscoveryOf(n).Forwarding(n)
		if last, ok := f.applied[n.ID]; what >= scopeFull || !ok || !reflect.DeepEqual(last, want) {
			if err := s.Forward(local, want.Remotes, want.Complete); err != nil {
				errs = append(errs, err)
				continue // so that the next turn does not take it for applied
			}
		}
		applied[n.ID] = want
	}
	f.applied = applied
	return errors.Join(errs...)
}
