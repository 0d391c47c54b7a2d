package reconcile

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// disconnectContainer removes what a container leaves. It tells whether the network's devices went with it.
//
// What leads to a link goes before it, and what guards it goes after it. A program that has deleted something
// from nftables waits for RCU when it closes its socket. While a link is deleted, that wait passes.
func disconnectContainer(host Namespace, want *plan.Disconnect) (devicesGone bool, err error) {
	err = errors.Join(evictPort(host, want), removeElements(host, want.Published), republish(host, want.Republish))
	if want.PortStays {
		return false, errors.Join(err, removeElements(host, want.Guards))
	}
	devicesGone, linkErr := removeLinks(host, want)
	err = errors.Join(err, linkErr, removeElements(host, want.Guards))
	if linkErr == nil && !devicesGone {
		err = errors.Join(err, setSysctls(host, want.Sysctls))
	}
	return devicesGone && linkErr == nil, err
}

// republish adds elements one by one: of two networks each may have some of the ports already.
func republish(host Namespace, elements []kernel.Element) error {
	var errs []error
	for _, e := range elements {
		if err := addElements(host, []kernel.Element{e}); !errors.Is(err, kernel.ErrElementTaken) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// evictPort has packets for the container, and from it, go by the bridge. The bridge forgets the MAC behind a port
// that stays.
func evictPort(host Namespace, want *plan.Disconnect) error {
	device, mac := want.FastPath.Device, want.FastPath.MAC
	if want.PortStays {
		return host.EvictFastPathPort(device, kernel.FastPathPort{Name: want.Port.Name, MAC: mac})
	}
	return host.EvictFastPath(device, mac)
}

// removeLinks removes a container's port. The network's devices go with it unless another port
// is on the bridge, or another container's veth is there that somebody took off the bridge.
// All go together, as the kernel takes long for each link that is deleted by itself. A link that
// something else made stays.
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
	return true, errors.Join(err, deviceErr, bridgeErr, deleteLinks(host, port, device, bridge))
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

// inUse tells whether a network has other ports than the one of that name. Mostly the first of the
// other containers is there. Only otherwise are the bridge's ports listed, which takes the longer the
// more there are.
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

// ownedName returns the name of a link to remove, "" if it isn't there or something else made it.
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
