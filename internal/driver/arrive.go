package driver

import (
	"errors"

	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
)

// arrive takes away what would keep packets from the endpoint, or take them to others.
func (b build) arrive(p placed, e network.Endpoint, wanted plan.Veth) error {
	errs := []error{b.claimName(e)}
	if p.vtep.AgentPort != 0 {
		errs = append(errs, reconcile.Arrive(b.host, wanted))
	} else {
		// What an agent has left that is gone.
		errs = append(errs, b.host.EvictFastPath(wanted.Device, e.MAC))
	}
	return errors.Join(errs...)
}

// claimName takes a name of the user's choice from the containers that had it before and were lost without a teardown: what
// such a port sends may still go past the bridge of their network, as the kernel knows it by its name.
func (b build) claimName(e network.Endpoint) error {
	if e.HostInterface == "" {
		return nil
	}
	networks, err := b.st.Networks()
	errs := []error{err}
	for _, id := range networks {
		// A record that cannot be read is not this one's problem.
		named, _ := b.named(id)
		for containerID, name := range named {
			if name == e.HostInterface && containerID != e.ContainerID {
				errs = append(errs, b.leave(id, containerID))
			}
		}
	}
	return errors.Join(errs...)
}

// named returns the names that users chose for ports, by container.
func (b build) named(networkID string) (map[string]string, error) {
	ids, err := b.st.CustomPortNames(networkID)
	errs := []error{err}
	names := make(map[string]string)
	for _, id := range ids {
		r, err := b.st.Record(networkID, id)
		names[id], errs = r.HostInterface, append(errs, err)
	}
	return names, errors.Join(errs...)
}

// leave takes a container that is in the store out of its network's shortcut.
func (b build) leave(networkID, containerID string) error {
	r, err := b.st.Record(networkID, containerID)
	if err != nil {
		return err
	}
	p, err := b.stored(networkID)
	if err != nil {
		return err
	}
	return b.host.EvictFastPath(p.Device.Name, r.MAC)
}
