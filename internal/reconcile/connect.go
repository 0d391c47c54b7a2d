package reconcile

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// connectContainer connects a container. The network's devices must be there.
func connectContainer(on Namespaces, want *plan.Connect, r *Report) error {
	if err := checkAddresses(on.Host, want.Probe); err != nil {
		return err
	}
	if err := makeRoom(on.Host, want); err != nil {
		return err
	}
	var err error
	if r.Announced, err = ensureVeth(on, want.Veth); err != nil {
		return err
	}
	if want.Announce && !r.Announced {
		if err := announceAddresses(on, want.Veth); err != nil {
			return err
		}
		r.Announced = true
	}
	if want.UnattachedPort != nil {
		if err := reattachPorts(on.Host, want); err != nil {
			return err
		}
	}
	r.MAC, err = interfaceMAC(on.Container, want.Veth.Container)
	return err
}

// makeRoom removes entries that would lead the container's packets elsewhere, or another's to it.
func makeRoom(host Namespace, want *plan.Connect) error {
	var errs []error
	for _, m := range want.Evict {
		errs = append(errs, host.EvictFastPath(m.Device, m.MAC))
	}
	own := plan.FastPathMember{Device: want.Veth.Device, MAC: want.Veth.Container.MAC}
	if want.FromElsewhere {
		errs = append(errs, evictRemote(host, want.Veth.Port.Name, own))
	} else {
		// An agent that is gone may have left an entry.
		errs = append(errs, host.EvictFastPath(own.Device, own.MAC))
	}
	return errors.Join(errs...)
}

// evictRemote removes what leads to the MAC on another host, or by another port. Until the agent hears of
// the container, the entries would keep it from being found here.
func evictRemote(host Namespace, port string, m plan.FastPathMember) error {
	if m.MAC.IsZero() {
		return nil
	}
	if _, err := host.Link(port, 0); !errors.Is(err, kernel.ErrNotFound) {
		return err // it is here already
	}
	return errors.Join(host.Apply(kernel.DelStatic{Name: m.Device, MAC: m.MAC}), host.EvictFastPath(m.Device, m.MAC))
}

// ensureVeth makes the host and the container hold the container's veth. It tells whether an earlier run
// has had the container announce its addresses.
//
// The two ends are one object. So where the container's end is missing, a host's
// end that is left belongs to an earlier namespace, and goes.
func ensureVeth(on Namespaces, want plan.Veth) (announced bool, err error) {
	wantInside := want.Container
	wantInside.Sysctls = slices.Concat(wantInside.Sysctls, want.Announce)
	inside, err := observeLink(on.Container, wantInside, kernel.FacetAddrs|kernel.FacetRoutes)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return false, err
	}
	there := err == nil && inside.Alias == want.Container.Alias
	outside, err := observeLink(on.Host, want.Port, 0)
	switch {
	case errors.Is(err, kernel.ErrNotFound):
		// Nothing is left.
	case err != nil:
		return false, err
	case there:
		// A run that was killed too early has not.
		unannounced := slices.ContainsFunc(want.Announce, func(p kernel.Sysctl) bool { return !slices.Contains(inside.Sysctls, p) })
		return !unannounced, errors.Join(
			applyAll(on.Host, diffLink(want.Port, outside, ours)),
			applyAll(on.Container, diffLink(want.Container, inside, shared)))
	default:
		if err := removeStalePort(on.Host, want, outside); err != nil {
			return false, err
		}
	}
	if err := createLink(on.Host, want.Port, ours); err != nil {
		return false, err
	}
	return false, applyUnread(on.Container, diffLink(want.Container, asCreated(want.Container), shared))
}

func removeStalePort(host Namespace, want plan.Veth, have kernel.Link) error {
	if err := checkOwner(want.Port, have); err != nil {
		return err
	}
	return errors.Join(
		host.EvictFastPath(want.Device, want.Container.MAC),
		host.Apply(kernel.DeleteLink{Name: have.Name}))
}

// announceAddresses has the container announce its addresses (arp_notify, ndisc_notify) once its
// bridge takes what it sends. An announcement when the interface comes up would be lost where the kernel
// has noted that the port has no carrier. To read the port makes the kernel note what has changed since
// (linkwatch_sync_dev, Linux 6.8). To set a MAC, even the same one, triggers the announcement
// (inetdev_event in net/ipv4/devinet.c). All containers of the network hear it, here and
// on other hosts: beside 500 of them, or to 1,000 hosts, it takes 3 to 5 ms.
func announceAddresses(on Namespaces, v plan.Veth) error {
	if _, err := on.Host.Link(v.Port.Name, 0); err != nil {
		return err
	}
	changes := []kernel.Change{kernel.SetSysctls{Sysctls: v.Announce}}
	if !v.Container.MAC.IsZero() {
		changes = append(changes, kernel.SetMAC{Name: v.Container.Name, MAC: v.Container.MAC})
	}
	return applyUnread(on.Container, changes)
}

// announceUnaltered leaves a container alone that has altered its interface: that is its own business.
func announceUnaltered(on Namespaces, want *plan.Announce) error {
	if want.Unchanged {
		return announceAddresses(on, want.Veth)
	}
	inside := want.Veth.Container
	have, err := on.Container.Link(inside.Name, 0)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return err
	}
	if have.Alias != inside.Alias || !inside.MAC.IsZero() && have.MAC != inside.MAC {
		return nil
	}
	return announceAddresses(on, want.Veth)
}

// reattachPorts puts ports of other containers back on the bridge that are on none, as when
// somebody deleted the bridge. Only such links are looked at; the alias tells whose they are.
func reattachPorts(host Namespace, want *plan.Connect) error {
	links, err := host.UnattachedLinks()
	errs := []error{err}
	for _, l := range links {
		port, known, err := want.UnattachedPort(l.Alias)
		errs = append(errs, err)
		if known {
			errs = append(errs, ensurePort(host, port))
		}
	}
	return errors.Join(errs...)
}

// interfaceMAC returns the MAC that the container's interface has: the wanted one, or else the kernel's choice.
func interfaceMAC(container Namespace, want kernel.Link) (kernel.MAC, error) {
	if !want.MAC.IsZero() {
		return want.MAC, nil
	}
	l, err := container.Link(want.Name, 0)
	return l.MAC, err
}

// ensurePorts makes the host's ends of many containers' veths what they should be, as far as they are there.
// One request reads them all; only those that differ are looked at by themselves.
func ensurePorts(host Namespace, bridge string, want []kernel.Link) error {
	links, err := host.PortLinks(bridge)
	errs := []error{err}
	have := make(map[string]kernel.Link, len(links))
	for _, l := range links {
		have[l.Name] = l
	}
	for _, w := range want {
		if h, ok := have[w.Name]; !ok || !intactPort(host, w, h) {
			errs = append(errs, ensurePort(host, w))
		}
	}
	return errors.Join(errs...)
}

// ensurePort makes the host's end of a container's veth what it should be, if it is
// there. Somebody may have deleted its bridge.
func ensurePort(host Namespace, want kernel.Link) error {
	have, err := observeLink(host, want, 0)
	if errors.Is(err, kernel.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := checkOwner(want, have); err != nil {
		return err
	}
	return applyAll(host, diffLink(want, have, ours))
}

// intactPort tells whether a port is known to need nothing.
func intactPort(host Namespace, want, have kernel.Link) bool {
	var err error
	have.Sysctls, err = readSysctls(host, want.Sysctls, have.Sysctls)
	return err == nil && checkOwner(want, have) == nil && len(diffLink(want, have, ours)) == 0
}
