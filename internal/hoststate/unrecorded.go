package hoststate

import (
	"errors"
	"fmt"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// findUnrecorded returns an error that names the containers which have a port on a bridge of this
// project and no record: somebody removed the store while they ran. What the firewall has of them
// must stay. The endpoint that starts or leaves does not count.
func (r records) findUnrecorded(networkID, containerID string) error {
	devices, err := r.ns.Tunnels()
	if err != nil {
		return fmt.Errorf("%w: %w", plan.ErrKernelUnread, err)
	}
	var errs []error
	for _, d := range devices {
		if network.IDFromAlias(d.Alias) == "" || d.Master == "" {
			continue
		}
		ports, err := r.ns.PortLinks(d.Master)
		if err != nil && !errors.Is(err, kernel.ErrNotFound) {
			return fmt.Errorf("%w: %w", plan.ErrKernelUnread, err)
		}
		for _, p := range ports {
			container, of := network.ParseEndpointAlias(p.Alias)
			if container == "" || container == containerID && of == networkID {
				continue
			}
			if recorded, err := r.HasRecord(of, container); !recorded {
				errs = append(errs, err,
					fmt.Errorf("container %.12s has the interface %s and no record; restart it", container, p.Name))
			}
		}
	}
	return errors.Join(errs...)
}

// withUnrecorded completes what a plan reads of the host by what the store lacks.
func (r records) withUnrecorded(all plan.AllElements) plan.AllElements {
	return func() ([]kernel.Element, error) {
		elements, err := all()
		return elements, errors.Join(err, r.findUnrecorded("", ""))
	}
}

// RemoveUnused removes the devices that are marked as this project's, but whose network has no
// record here, unless a container or something else is still on the bridge.
func (s *Session) RemoveUnused() error {
	recorded, err := s.records.Networks()
	if err != nil {
		return err
	}
	unused := func(l kernel.Link) bool {
		id := network.IDFromAlias(l.Alias)
		return id != "" && !slices.Contains(recorded, id)
	}
	tunnels, err := s.ns.Tunnels()
	errs, stays := []error{err}, make(map[string]bool)
	for _, d := range tunnels {
		if unused(d) && (d.Master == "" || !hasOtherPort(s.ns, d.Master, d.Name)) {
			errs = append(errs, s.ns.RemoveFastPath(d.Name), s.ns.Apply(kernel.DeleteLink{Name: d.Name}))
		} else {
			stays[network.IDFromAlias(d.Alias)] = true
		}
	}
	links, err := s.ns.UnattachedLinks()
	errs = append(errs, err)
	for _, l := range links {
		if l.Kind == kernel.KindBridge && unused(l) && !hasOtherPort(s.ns, l.Name, "") {
			errs = append(errs, s.deleteUnusedBridge(l.Name))
		}
		if isWireGuard(l) && unused(l) && !stays[network.IDFromAlias(l.Alias)] {
			errs = append(errs, s.ns.Apply(kernel.DeleteLink{Name: l.Name}))
		}
	}
	return errors.Join(append(errs, s.forgetUnusedInDocker())...)
}

// deleteUnusedBridge deletes a bridge whose network has no record, and what other programs were told
// of it.
func (s *Session) deleteUnusedBridge(name string) error {
	if err := s.ns.Apply(kernel.DeleteLink{Name: name}); err != nil {
		return err
	}
	s.forgetBridge(network.Identity{Name: "with bridge " + name, Bridge: network.DeviceName{Name: name}})
	return nil
}

// hasOtherPort tells whether a bridge may have another port than one.
func hasOtherPort(ns Namespace, bridge, port string) bool {
	ports, err := ns.Ports(bridge)
	return err != nil && !errors.Is(err, kernel.ErrNotFound) ||
		slices.ContainsFunc(ports, func(p string) bool { return p != port })
}
