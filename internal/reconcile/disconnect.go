package reconcile

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// disconnectContainer removes what a container leaves. It tells whether the network's devices went
// with it.
//
// What leads to a link is removed before it, and what guards it after it. A program that has
// deleted something from nftables waits for RCU when it closes its socket. Deleting a link takes as
// long, so the wait costs nothing.
func disconnectContainer(host Namespace, want *plan.Disconnect) (devicesGone bool, err error) {
	err = evictPort(host, want)
	firewallErr := errors.Join(removeElements(host, want.Published), republish(host, want.Republish))
	if want.PortStays {
		return false, errors.Join(err, closeFirewall(host, want, firewallErr),
			forgetFlows(host, kernel.DeleteFlows{Of: want.Flows}))
	}
	devicesGone, linkErr := removeLinks(host, want)
	err = errors.Join(err, linkErr, closeFirewall(host, want, firewallErr))
	if linkErr == nil && !devicesGone {
		err = errors.Join(err, setSysctls(host, want.Sysctls))
	}
	// Last, as the container can begin no more flows.
	err = errors.Join(err, forgetFlows(host, kernel.DeleteFlows{Of: want.Flows}))
	return devicesGone && linkErr == nil, err
}

// closeFirewall removes the last of a container's elements. earlier is what went wrong with the
// others.
func closeFirewall(host Namespace, want *plan.Disconnect, earlier error) error {
	if want.Reset {
		return resetFirewall(host, want.Restore)
	}
	err := errors.Join(earlier, removeElements(host, want.Guards))
	if want.Restore == nil {
		return err
	}
	return restoreFirewall(host, want.Restore, err)
}

// republish adds elements one by one: of two networks each may have some of the ports already.
func republish(host Namespace, elements []kernel.Element) error {
	var errs []error
	for _, e := range elements {
		if err := host.Apply(kernel.AddElements{Elements: []kernel.Element{e}}); !errors.Is(err, kernel.ErrElementTaken) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// evictPort sends packets for the container, and from it, through the bridge again. If the port
// stays, the bridge forgets its MAC.
func evictPort(host Namespace, want *plan.Disconnect) error {
	device, mac := want.FastPath.Device, want.FastPath.MAC
	if want.PortStays {
		return host.EvictFastPathPort(device, kernel.FastPathPort{Name: want.Port.Name, MAC: mac})
	}
	return host.EvictFastPath(device, mac)
}

// removeLinks removes a container's port. The network's devices go with it, unless the bridge has
// another port or another container's veth exists off the bridge. All are deleted in one request,
// since the kernel takes long for each link that is deleted by itself. A link that another program
// made stays.
func removeLinks(host Namespace, want *plan.Disconnect) (devicesGone bool, err error) {
	port, err := ownedName(host, want.Port)
	if want.Devices == nil {
		return false, errors.Join(err, deleteLinks(host, port))
	}
	used, usedErr := inUse(host, port, want)
	if used || usedErr != nil {
		return false, errors.Join(err, usedErr, deleteLinks(host, port))
	}
	device, deviceErr := ownedName(host, want.Devices.VXLAN)
	bridge, bridgeErr := ownedName(host, want.Devices.Bridge)
	names := []string{port, device, bridge}
	var wireGuardErr error
	for _, name := range want.Devices.WireGuard {
		// Of either kind. What comes by one would meet no rule of ours once the firewall forgets it.
		have, linkErr := host.Link(name, 0)
		switch {
		case linkErr == nil && have.Alias == want.Devices.Bridge.Alias:
			names = append(names, have.Name)
		case linkErr != nil && !errors.Is(linkErr, kernel.ErrNotFound):
			wireGuardErr = linkErr
		}
	}
	return true, errors.Join(err, deviceErr, bridgeErr, wireGuardErr, deleteLinks(host, names...))
}

// deleteLinks deletes links by what ownedName returned.
func deleteLinks(host Namespace, names ...string) error {
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	switch len(names) {
	case 0:
		return nil
	case 1:
		return host.Apply(kernel.DeleteLink{Name: names[0]})
	}
	return host.Apply(kernel.DeleteLinks{Names: names})
}

// inUse tells whether a network has other ports than the one of that name. Usually the port of the
// first other container exists. Only if none does are the bridge's ports listed, which takes longer
// the more there are.
func inUse(host Namespace, port string, want *plan.Disconnect) (bool, error) {
	for other, err := range want.OtherPorts {
		if err == nil {
			_, err = host.Link(other, 0)
		}
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, kernel.ErrNotFound) {
			return true, err
		}
	}
	have, err := host.Ports(want.Devices.Bridge.Name)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return true, err
	}
	return slices.ContainsFunc(have, func(p string) bool { return p != want.Devices.VXLAN.Name && p != port }), nil
}

// ownedName returns the name of a link to remove, "" if it does not exist or another program made
// it.
func ownedName(host Namespace, want kernel.Link) (string, error) {
	have, err := host.Link(want.Name, kernel.FacetAddrs)
	if errors.Is(err, kernel.ErrNotFound) || err == nil && checkOwner(want, have) != nil {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return have.Name, nil
}
