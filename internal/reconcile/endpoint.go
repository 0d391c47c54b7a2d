package reconcile

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// Endpoint makes the host and the container hold the container's veth. The
// network's bridge must be there. It tells whether the container has announced its addresses,
// by an earlier Announce.
//
// The two ends are one object, so when the container's end is missing the host's
// end that may be left is of an earlier namespace and goes.
func Endpoint(host, container Namespace, e plan.Veth) (announced bool, err error) {
	want := e.Container
	want.Sysctls = slices.Concat(want.Sysctls, e.Announce)
	inside, err := observe(container, want, kernel.FacetAddrs|kernel.FacetRoutes)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return false, err
	}
	there := err == nil && inside.Alias == e.Container.Alias
	outside, err := observe(host, e.Port, 0)
	switch {
	case errors.Is(err, kernel.ErrNotFound):
		// Nothing is left.
	case err != nil:
		return false, err
	case there:
		// One that was killed before it could has not.
		unannounced := slices.ContainsFunc(e.Announce, func(p kernel.Sysctl) bool { return !slices.Contains(inside.Sysctls, p) })
		return !unannounced, errors.Join(
			apply(host, diff(e.Port, outside, ours)),
			apply(container, diff(e.Container, inside, shared)))
	default:
		if err := checkOwner(e.Port, outside); err != nil {
			return false, err
		}
		err := errors.Join(host.EvictFastPath(e.Device, e.Container.MAC), host.Apply(kernel.DeleteLink{Name: outside.Name}))
		if err != nil {
			return false, err
		}
	}
	if err := create(host, e.Port, ours); err != nil {
		return false, err
	}
	return false, complete(container, diff(e.Container, created(e.Container), shared))
}

// Announce has the container announce its addresses (arp_notify, ndisc_notify) when its
// bridge takes what it sends. What it would announce when its interface comes up is lost where the kernel
// had already noted that the port has no carrier; and it is dear, as all containers of the network hear of it, here and
// on other hosts: beside 500 of them, or to 1,000 hosts, it takes 3 to 5 ms. To read a link makes the kernel
// note what has changed since (linkwatch_sync_dev, Linux 6.8), and to set a MAC, be it
// the same, is an occasion to announce (inetdev_event in net/ipv4/devinet.c).
func Announce(host, container Namespace, e plan.Veth) error {
	if _, err := host.Link(e.Port.Name, 0); err != nil {
		return err
	}
	changes := []kernel.Change{kernel.SetSysctls{Sysctls: e.Announce}}
	if !e.Container.MAC.IsZero() {
		changes = append(changes, kernel.SetMAC{Name: e.Container.Name, MAC: e.Container.MAC})
	}
	return complete(container, changes)
}

// Port makes the host's end of a container's veth what it should be, if it is
// there: somebody may have deleted the bridge that it was a port of.
func Port(host Namespace, want kernel.Link) error {
	have, err := observe(host, want, 0)
	if errors.Is(err, kernel.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := checkOwner(want, have); err != nil {
		return err
	}
	return apply(host, diff(want, have, ours))
}

// Ports is Port for many containers of one bridge, which costs little where all are as they
// should be.
func Ports(host Namespace, bridge string, want []kernel.Link) error {
	links, err := host.PortLinks(bridge)
	errs := []error{err}
	have := make(map[string]kernel.Link, len(links))
	for _, l := range links {
		have[l.Name] = l
	}
	for _, w := range want {
		if h, ok := have[w.Name]; !ok || !intact(host, w, h) {
			errs = append(errs, Port(host, w))
		}
	}
	return errors.Join(errs...)
}

// intact tells whether nothing needs to be done, as far as can be told.
func intact(host Namespace, want, have kernel.Link) bool {
	var err error
	have.Sysctls, err = sysctls(host, want.Sysctls, have.Sysctls)
	return err == nil && checkOwner(want, have) == nil && len(diff(want, have, ours)) == 0
}
