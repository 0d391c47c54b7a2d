package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// ensureDevices makes the host hold the network's bridge, its VXLAN device, and the device's flood
// entries, which are those of the zero MAC. It tells whether the bridge was made. Parameters of the
// host as a whole stay when the network goes: others may rely on them by then.
func ensureDevices(host Namespace, want *plan.Devices) (made bool, err error) {
	if err := setGlobalSysctls(host, want.GlobalSysctls); err != nil {
		return false, err
	}
	if made, err = ensureBridge(host, want.Bridge); err != nil {
		return made, err
	}
	facets := kernel.FacetAddrs | kernel.FacetFDB
	if want.SkipFlood {
		facets = kernel.FacetAddrs
	}
	if want.VXLAN.TXChecksum.Set {
		facets |= kernel.FacetOffload
	}
	return made, ensureVXLAN(host, want.VXLAN, facets)
}

// setGlobalSysctls keeps the host's own routes from router advertisements: with accept_ra 1 the
// kernel drops them, and takes no more, as soon as it forwards (ip-sysctl.rst;
// addrconf_forward_change in net/ipv6/addrconf.c). With 2 it takes them nevertheless.
func setGlobalSysctls(host Namespace, want []kernel.Sysctl) error {
	const forwarding = "net/ipv6/conf/all/forwarding"
	for _, s := range want {
		if s.Key != forwarding {
			continue
		}
		value, err := host.Sysctl(forwarding)
		if err == nil && value != s.Value {
			err = keepAdvertisedRoutes(host)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return setSysctls(host, want)
}

// keepAdvertisedRoutes leaves alone interfaces whose advertisements another program takes (0).
func keepAdvertisedRoutes(host Namespace) error {
	names, err := host.AdvertisedInterfaces()
	if err != nil {
		return err
	}
	for _, name := range names {
		key := "net/ipv6/conf/" + name + "/accept_ra"
		value, err := host.Sysctl(key)
		if errors.Is(err, fs.ErrNotExist) || err == nil && value != "1" {
			continue
		}
		if err == nil {
			err = host.Apply(kernel.SetSysctls{Sysctls: []kernel.Sysctl{{Key: key, Value: "2"}}})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setSysctls sets parameters that are there and have another value.
func setSysctls(host Namespace, want []kernel.Sysctl) error {
	have, err := readSysctls(host, want, nil)
	if err != nil {
		return err
	}
	lacking := missingSysctls(want, have)
	if len(lacking) == 0 {
		return nil
	}
	return host.Apply(kernel.SetSysctls{Sysctls: lacking})
}

func ensureBridge(host Namespace, want kernel.Link) (made bool, err error) {
	have, err := observeLink(host, want, kernel.FacetAddrs)
	switch {
	case errors.Is(err, kernel.ErrNotFound):
		if err := removeRenamedBridge(host, want); err != nil {
			return false, err
		}
		return true, createLink(host, want, ours)
	case err != nil:
		return false, err
	}
	if err := checkOwner(want, have); err != nil {
		return false, err
	}
	return false, applyDiff(host, want, have, ours)
}

// removeRenamedBridge removes the network's bridge where somebody gave it another name. It has the
// addresses of the one that is about to be made. Ports go back to that one.
func removeRenamedBridge(host Namespace, want kernel.Link) error {
	links, err := host.UnattachedLinks()
	errs := []error{err}
	for _, l := range links {
		if l.Kind == kernel.KindBridge && l.Alias == want.Alias {
			errs = append(errs, host.Apply(kernel.DeleteLink{Name: l.Name}))
		}
	}
	return errors.Join(errs...)
}

// ensureVXLAN recreates a VXLAN device whose fixed attributes differ. Few attributes can be changed
// in place (vxlan_changelink in drivers/net/vxlan/vxlan_core.c). Frames that are lost meanwhile are
// sent again.
func ensureVXLAN(host Namespace, want kernel.Link, f kernel.Facets) error {
	have, err := observeLink(host, want, f)
	switch {
	case errors.Is(err, kernel.ErrNotFound):
		return errors.Join(host.RemoveFastPath(want.Name), createVXLAN(host, want))
	case err != nil:
		return err
	}
	if err := checkOwner(want, have); err != nil {
		return err
	}
	if want.Tunnel.Same(have.Tunnel) {
		if f&kernel.FacetFDB == 0 {
			have.FDB = want.FDB // not looked at
		}
		return applyDiff(host, want, have, ours)
	}
	if err := errors.Join(host.RemoveFastPath(have.Name), host.Apply(kernel.DeleteLink{Name: have.Name})); err != nil {
		return err
	}
	return createVXLAN(host, want)
}

// createVXLAN removes a device of the same network that is in the way: somebody gave it another
// name. Of any other that is, it returns an error that names it.
func createVXLAN(host Namespace, want kernel.Link) error {
	err := createLink(host, want, ours)
	if err == nil {
		return nil
	}
	tunnels, listErr := host.Tunnels()
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	for _, t := range tunnels {
		why := want.Tunnel.Conflict(t.Tunnel)
		switch {
		case why == "" || t.Name == want.Name:
			continue
		case t.Alias == want.Alias:
			if err := errors.Join(host.RemoveFastPath(t.Name), host.Apply(kernel.DeleteLink{Name: t.Name})); err != nil {
				return err
			}
			return createLink(host, want, ours)
		case network.IDFromAlias(t.Alias) != "":
			return fmt.Errorf(
				"%w\n%s device %s, which is marked as another network's (alias %q); if no container uses it, `vxlanctl reload` "+
					"removes it",
				err, why, t.Name, t.Alias)
		}
		return fmt.Errorf("%w\n%s device %s", err, why, t.Name)
	}
	return err
}

// CheckName fails if another device has the name of a wanted link. It is called before anything is
// recorded, and so before there is a plan.
func CheckName(host Namespace, want kernel.Link) error {
	have, err := host.Link(want.Name, kernel.FacetAddrs)
	if errors.Is(err, kernel.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return checkOwner(want, have)
}

// checkOwner returns nil if have is the wanted link, and otherwise an error that says who holds its
// name. It goes by the alias. A link without an alias is accepted in two cases: its maker was
// interrupted before it could set the alias, or it is a port of this network's own bridge.
func checkOwner(want, have kernel.Link) error {
	if have.Kind == want.Kind && have.Name == want.Name {
		unfinished := !have.Up && have.Master == "" && len(have.Addrs) == 0
		attached := want.Master != "" && have.Master == want.Master
		if have.Alias == want.Alias || have.Alias == "" && (unfinished || attached) {
			return nil
		}
	}
	kind := string(have.Kind)
	if kind == "" {
		kind = "physical"
	}
	return fmt.Errorf(
		"%s %q: the name is held by %s device %q (alias %q), which this network did not make; remove or rename it, or "+
			"choose another name",
		want.Kind, want.Name, kind, have.Name, have.Alias)
}

// createLink makes a link and sets its alias before anything else. A link that is up and has none
// would later be taken for somebody else's.
func createLink(ns Namespace, want kernel.Link, owner ownership) error {
	if err := ns.Apply(kernel.CreateLink{Link: want}); err != nil {
		return err
	}
	have := asCreated(want)
	if err := ns.Apply(kernel.SetAlias{Name: want.Name, Alias: want.Alias}); err != nil {
		return errors.Join(err, ns.Apply(kernel.DeleteLink{Name: want.Name}))
	}
	have.Alias = want.Alias
	return applyUnread(ns, diffLink(want, have, owner))
}

// applyDiff makes a link what is wanted. Parameters of IPv6 that come back with it have not been read.
func applyDiff(ns Namespace, want, have kernel.Link, owner ownership) error {
	changes := diffLink(want, have, owner)
	if forgetsIPv6(want, have) {
		return applyUnread(ns, changes)
	}
	return applyAll(ns, changes)
}

// applyUnread is applyAll for a link that was just made, whose parameters have not been read.
func applyUnread(ns Namespace, changes []kernel.Change) error {
	return applyAll(unreadSysctls{ns}, changes)
}

type unreadSysctls struct{ Namespace }

// Apply ignores the error of a parameter that is not there, or that has its value already. The
// latter is so where /proc/sys is read-only.
func (ns unreadSysctls) Apply(c kernel.Change) error {
	err := ns.Namespace.Apply(c)
	set, ok := c.(kernel.SetSysctls)
	if err == nil || !ok {
		return err
	}
	have, readErr := readSysctls(ns, set.Sysctls, nil)
	if readErr == nil && slices.Equal(have, set.Sysctls) {
		return nil
	}
	return err
}

// observeLink reads the link that has the name of want.
func observeLink(ns Namespace, want kernel.Link, f kernel.Facets) (kernel.Link, error) {
	have, err := ns.Link(want.Name, f|kernel.FacetSysctls)
	if err != nil {
		return have, err
	}
	have.Sysctls, err = readSysctls(ns, want.Sysctls, have.Sysctls)
	return have, err
}

// readSysctls returns the parameters that want names, and reads those that are not known yet. One
// that is not there counts as having the wanted value: without IPv6, none of its parameters need be
// set.
func readSysctls(ns Namespace, want, known []kernel.Sysctl) ([]kernel.Sysctl, error) {
	var have []kernel.Sysctl
	for _, p := range want {
		if i := slices.IndexFunc(known, func(k kernel.Sysctl) bool { return k.Key == p.Key }); i >= 0 {
			have = append(have, known[i])
			continue
		}
		value, err := ns.Sysctl(p.Key)
		if errors.Is(err, fs.ErrNotExist) {
			value, err = p.Value, nil
		}
		if err != nil {
			return nil, err
		}
		have = append(have, kernel.Sysctl{Key: p.Key, Value: value})
	}
	return have, nil
}

// applyAll goes on after an error, and makes every change that it can. FDB entries are added
// together, since a network has one for each of up to a thousand hosts.
func applyAll(ns Namespace, changes []kernel.Change) error {
	var errs []error
	for len(changes) > 0 {
		n := leadingEntries(changes)
		if n > 1 {
			errs = append(errs, ns.ChangeForwardingTables(joinEntries(changes[:n])))
		} else {
			n = 1
			errs = append(errs, ns.Apply(changes[0]))
		}
		changes = changes[n:]
	}
	return errors.Join(errs...)
}

// leadingEntries counts the additions to the FDB of one device that the changes begin with.
func leadingEntries(changes []kernel.Change) (n int) {
	first, ok := changes[0].(kernel.AddFDB)
	for ok && n < len(changes) {
		c, isEntry := changes[n].(kernel.AddFDB)
		if !isEntry || c.Name != first.Name {
			break
		}
		n++
	}
	return n
}

func joinEntries(changes []kernel.Change) (all kernel.ForwardingChanges) {
	for _, c := range changes {
		entry := c.(kernel.AddFDB)
		all.Device = entry.Name
		all.Add.FDB = append(all.Add.FDB, entry.FDB)
	}
	return all
}
