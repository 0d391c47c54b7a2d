package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// ensureDevices makes the host hold the network's bridge and VXLAN device, and in the
// device's FDB the flood entries, those of the zero MAC. The others are the forwarding's.
// The parameters of the host as a whole stay when the network goes: others may rely on
// them by then.
func ensureDevices(host Namespace, want *plan.Devices) error {
	if err := setSysctls(host, want.GlobalSysctls); err != nil {
		return err
	}
	if err := ensureBridge(host, want.Bridge); err != nil {
		return err
	}
	facets := kernel.FacetAddrs | kernel.FacetFDB
	if want.SkipFlood {
		facets = kernel.FacetAddrs
	}
	return ensureVXLAN(host, want.VXLAN, facets)
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

func ensureBridge(host Namespace, want kernel.Link) error {
	have, err := observe(host, want, kernel.FacetAddrs)
	switch {
	case errors.Is(err, kernel.ErrNotFound):
		return create(host, want, ours)
	case err != nil:
		return err
	}
	if err := checkOwner(want, have); err != nil {
		return err
	}
	return applyAll(host, diff(want, have, ours))
}

// ensureVXLAN recreates a VXLAN device whose fixed attributes differ: few of them can
// be changed in place (vxlan_changelink in drivers/net/vxlan/vxlan_core.c), and
// frames lost meanwhile are sent again.
func ensureVXLAN(host Namespace, want kernel.Link, f kernel.Facets) error {
	have, err := observe(host, want, f)
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
		return applyAll(host, diff(want, have, ours))
	}
	if err := errors.Join(host.RemoveFastPath(have.Name), host.Apply(kernel.DeleteLink{Name: have.Name})); err != nil {
		return err
	}
	return createVXLAN(host, want)
}

// createVXLAN names the device that is in the way when there is one.
func createVXLAN(host Namespace, want kernel.Link) error {
	err := create(host, want, ours)
	if err == nil {
		return nil
	}
	tunnels, listErr := host.Tunnels()
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	for _, t := range tunnels {
		if why := want.Tunnel.Conflict(t.Tunnel); why != "" && t.Name != want.Name {
			return fmt.Errorf("%w\n%s device %s", err, why, t.Name)
		}
	}
	return err
}

// CheckName tells whether something else has the name of a link that is wanted.
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

// checkOwner tells who holds the name of a link that this project wants to have,
// or nil if have is that link: it has our mark, or it has none and either is as a
// link is left whose maker was interrupted before it could mark it, or is a port
// of this network's own bridge.
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
	return fmt.Errorf("%s %q: the name is held by %s device %q (alias %q), which this network did not make; remove or rename it, or choose another name",
		want.Kind, want.Name, kind, have.Name, have.Alias)
}

// create makes a link and marks it before anything else: a link that is up but
// not marked would later be taken for somebody else's.
func create(ns Namespace, want kernel.Link, owner ownership) error {
	if err := ns.Apply(kernel.CreateLink{Link: want}); err != nil {
		return err
	}
	have := created(want)
	if err := ns.Apply(kernel.SetAlias{Name: want.Name, Alias: want.Alias}); err != nil {
		return errors.Join(err, ns.Apply(kernel.DeleteLink{Name: want.Name}))
	}
	have.Alias = want.Alias
	return applyUnread(ns, diff(want, have, owner))
}

// applyUnread is applyAll for a link that was just made. Its parameters are set without having been read.
func applyUnread(ns Namespace, changes []kernel.Change) error {
	return applyAll(unreadSysctls{ns}, changes)
}

type unreadSysctls struct{ Namespace }

// Apply accepts that a parameter cannot be set that is not there, as in readSysctls, or has its value, as where /proc/sys
// is read-only.
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

// observe reads the link that is there under the name of want.
func observe(ns Namespace, want kernel.Link, f kernel.Facets) (kernel.Link, error) {
	have, err := ns.Link(want.Name, f|kernel.FacetSysctls)
	if err != nil {
		return have, err
	}
	have.Sysctls, err = readSysctls(ns, want.Sysctls, have.Sysctls)
	return have, err
}

// readSysctls returns the parameters that want names, and reads those that are not known. One that is not there counts as
// being as wanted: where there is no IPv6, nothing of it needs to be set.
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

// applyAll goes on after an error, so that what can work does. Entries of an FDB go together: a network has one for each of
// up to a thousand hosts.
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
