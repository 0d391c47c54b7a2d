package hoststate

import (
	"errors"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// FallBackToStatic sets up networks that have a list of hosts as the list says. It is for an agent
// that ends and may not come back, and for a plugin that cannot start one. Then nobody keeps up to
// date what the agent had found out.
//
// What the agent had set are thousands of entries. They lead to where they should for now, so they
// go in pieces, and containers that start get the lock meanwhile.
func (h *Host) FallBackToStatic() error {
	networks, err := h.forgetAllPeers()
	errs := []error{err}
	for _, n := range networks {
		errs = append(errs, h.forgetEntries(n))
	}
	return errors.Join(errs...)
}

// forgetAllPeers makes the networks go back to their lists of hosts, but for the forwarding
// entries. It returns those networks.
func (h *Host) forgetAllPeers() (changed []Network, err error) {
	s, err := h.Begin()
	if err != nil {
		return nil, err
	}
	ids, err := s.records.Networks()
	errs := []error{err}
	for _, id := range ids {
		n, forgotten, err := s.forgetPeers(id)
		if errs = append(errs, err); forgotten {
			changed = append(changed, n)
		}
	}
	return changed, errors.Join(append(errs, s.Close())...)
}

// forgetPeers makes a network go back to its list of hosts. A network without a list stays as it
// is, and one that is encrypted: its frames reach hosts only whose keys are known.
func (s *Session) forgetPeers(networkID string) (n Network, forgotten bool, err error) {
	if _, known, err := s.records.Peers(networkID); !known || err != nil {
		return Network{}, false, err
	}
	p, err := s.records.loadStored(networkID)
	if err != nil || p.FindsHosts() || p.Encrypts() {
		return Network{}, false, err
	}
	if err := s.records.ForgetPeers(networkID); err != nil {
		return Network{}, false, err
	}
	if p, err = s.records.loadStored(networkID); err != nil {
		return Network{}, false, err
	}
	endpoints, err := s.records.Records(networkID)
	n = Network{Network: p.Network, VTEP: p.VTEP, Endpoints: endpoints, foreign: p.Foreign}
	devices := plan.RepairNetwork(n.withEndpoints())
	devices.Network.Devices.SkipFlood = true // to list the flood entries is to list all
	_, othersErr, applyErr := s.applyNetwork(n.Network, nil, devices)
	// No entry yet, only how the bridge treats the VXLAN device: it learns.
	forwardErr := s.Forward(n, plan.Known{Only: new(kernel.ForwardingKeys)})
	return n, true, errors.Join(err, applyErr, othersErr, forwardErr)
}

// forgetEntries makes the forwarding entries those of the list of hosts.
func (h *Host) forgetEntries(n Network) error {
	keys, err := h.DriftedEntries(n, plan.Known{})
	for err == nil && keys.Count() > 0 {
		if err = h.forgetSomeEntries(n, &keys); err == nil {
			time.Sleep(LockGap)
		}
	}
	return err
}

// forgetSomeEntries does so for as many of the keys as there is time for. It leaves the rest to an
// agent that has taken over meanwhile.
func (h *Host) forgetSomeEntries(n Network, keys *kernel.ForwardingKeys) error {
	s, err := h.Begin()
	if err != nil {
		return err
	}
	if _, hasAgent, err := s.records.Peers(n.ID); hasAgent || err != nil {
		*keys = kernel.ForwardingKeys{}
		return errors.Join(err, s.Close())
	}
	err = s.ForwardUntil(time.Now().Add(ForwardTime), n, func() (plan.Known, bool) {
		some := keys.TakeSome(EntriesAtOnce)
		return plan.Known{Only: &some}, some.Count() > 0
	})
	return errors.Join(err, s.Close())
}
