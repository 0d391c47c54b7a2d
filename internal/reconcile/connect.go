package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
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

// evictRemote removes entries that send frames for the MAC to another host or another port. Until
// the agent hears of the container, they would keep it from being found here.
func evictRemote(host Namespace, port string, m plan.FastPathMember) error {
	if m.MAC.IsZero() {
		return nil
	}
	if _, err := host.Link(port, 0); !errors.Is(err, kernel.ErrNotFound) {
		return err // it is here already
	}
	return errors.Join(host.Apply(kernel.DelStatic{Name: m.Device, MAC: m.MAC}), host.EvictFastPath(m.Device, m.MAC))
}

// ensureVeth makes the host and the container hold the container's veth. It tells whether the
// addresses were announced by an earlier run.
//
// The two ends are one object. So if the container's end is missing, a host's end that is left
// belongs to an earlier namespace, and is removed.
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
		// A run that was killed too early has not announced them.
		unannounced := slices.ContainsFunc(want.Announce,
			func(p kernel.Sysctl) bool { return !slices.Contains(inside.Sysctls, p) })
		return !unannounced, errors.Join(
			applyDiff(on.Host, want.Port, outside, ours),
			applyDiff(on.Container, want.Container, inside, shared))
	default:
		if err := removeStalePort(on.Host, want, outside); err != nil {
			return false, err
		}
	}
	if err := createLink(on.Host, want.Port, ours); err != nil {
		return false, explainTaken(on.Container, want, err)
	}
	return false, applyUnread(on.Container, diffLink(want.Container, asCreated(want.Container), shared))
}

// DiffContainer returns what differs on a container's interface from what it was given. A container
// may add to it what it likes. The error is kernel.ErrNotFound if it has no such interface.
func DiffContainer(container Namespace, want kernel.Link) ([]kernel.Change, error) {
	have, err := observeLink(container, want, kernel.FacetAddrs|kernel.FacetRoutes)
	if err != nil {
		return nil, err
	}
	if have.Alias != want.Alias {
		return nil, kernel.ErrNotFound
	}
	return diffLink(want, have, shared), nil
}

// explainTaken says of a veth that could not be made which name of the container's is taken.
func explainTaken(container Namespace, want plan.Veth, err error) error {
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	have, lookErr := container.Link(want.Container.Name, 0)
	if lookErr != nil {
		return err // it is not the container's end
	}
	return fmt.Errorf("interface %q: the container has one of that name already, %s in network namespace %s; "+
		"choose another with --network NETWORK:interface_name=NAME, or remove that one", want.Container.Name, describeLink(
		have), want.Namespace)
}

func describeLink(l kernel.Link) string {
	text := "a physical device"
	if l.Kind != "" {
		text = "a " + string(l.Kind) + " device"
	}
	if l.Alias != "" {
		text += fmt.Sprintf(" (alias %q)", l.Alias)
	}
	return text
}

func removeStalePort(host Namespace, want plan.Veth, have kernel.Link) error {
	if err := checkOwner(want.Port, have); err != nil {
		return err
	}
	return errors.Join(
		host.EvictFastPath(want.Device, want.Container.MAC),
		host.Apply(kernel.DeleteLink{Name: have.Name}))
}

// announceAddresses makes the kernel announce the container's addresses (arp_notify, ndisc_notify)
// once the bridge accepts frames from its port. When the interface comes up, the kernel may still
// take the port to be without a carrier, and the announcement would be lost. Reading the port makes
// the kernel notice the carrier (linkwatch_sync_dev, Linux 6.8). Setting a MAC, even the same one,
// triggers the announcement (inetdev_event in net/ipv4/devinet.c). All containers of the network
// hear it, here and on other hosts. With 500 containers, or 1,000 hosts, it takes 3 to 5 ms.
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

// announceUnaltered announces a container's addresses, unless the container has altered its
// interface.
func announceUnaltered(on Namespaces, want *plan.Announce) error {
	if want.Unchanged {
		return announceAddresses(on, want.Veth)
	}
	_, unaltered, err := unalteredInterface(on.Container, want.Veth.Container)
	if err != nil || !unaltered {
		return err
	}
	return announceAddresses(on, want.Veth)
}

// unalteredInterface reads a container's interface, and tells whether it still is the one that was
// made.
func unalteredInterface(container Namespace, want kernel.Link) (have kernel.Link, unaltered bool, err error) {
	have, err = container.Link(want.Name, 0)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return have, false, err
	}
	return have, have.Alias == want.Alias && (want.MAC.IsZero() || have.MAC == want.MAC), nil
}

// resizeInterface sets the MTU of a container's interface. A smaller one that the container chose
// by itself stays. As in diffLink, an interface that was below 1280 has forgotten its parameters of
// IPv6.
func resizeInterface(container Namespace, want *plan.Resize) error {
	l := want.Interface
	have, unaltered, err := unalteredInterface(container, l)
	switch {
	case err != nil || !unaltered || have.MTU == l.MTU:
		return err
	case have.MTU < l.MTU && want.Before != 0 && have.MTU != want.Before:
		return nil
	}
	changes := []kernel.Change{kernel.SetMTU{Name: l.Name, MTU: l.MTU}}
	if forgetsIPv6(l, have) {
		changes = append(changes, kernel.SetSysctls{Sysctls: l.Sysctls})
	}
	return applyUnread(container, changes)
}

// reattachPorts puts ports of other containers back on the bridge, for instance after somebody
// deleted the bridge. It looks only at links without a bridge. Their alias tells whose they are.
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

// interfaceMAC returns the MAC that the container's interface has: the wanted one, or else the
// kernel's choice.
func interfaceMAC(container Namespace, want kernel.Link) (kernel.MAC, error) {
	if !want.MAC.IsZero() {
		return want.MAC, nil
	}
	l, err := container.Link(want.Name, 0)
	return l.MAC, err
}

// ensurePorts repairs the host's ends of many containers' veths, as far as they exist. One request
// reads them all; only those that differ are read one by one.
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

// ensurePort repairs the host's end of a container's veth, if it exists. Somebody may have deleted
// its bridge.
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
	return applyDiff(host, want, have, ours)
}

// intactPort tells whether a port is known to need nothing.
func intactPort(host Namespace, want, have kernel.Link) bool {
	var err error
	have.Sysctls, err = readSysctls(host, want.Sysctls, have.Sysctls)
	return err == nil && checkOwner(want, have) == nil && len(diffLink(want, have, ours)) == 0
}
