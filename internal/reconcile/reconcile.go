package reconcile

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// Namespace is a network namespace. netstack.Namespace is the real one.
type Namespace interface {
	// Link returns the link of that name or alternative name, or an error that
	// is kernel.ErrNotFound.
	Link(name string, facets kernel.Facets) (kernel.Link, error)
	// Ports returns the names of a bridge's ports.
	Ports(bridge string) ([]string, error)
	// PortLinks returns a bridge's ports, with no facet but Params.
	PortLinks(bridge string) ([]kernel.Link, error)
	// UnattachedLinks returns the links that are no bridge's ports, without facets.
	UnattachedLinks() ([]kernel.Link, error)
	// Tunnels returns the namespace's KindVXLAN devices.
	Tunnels() ([]kernel.Link, error)
	// Sysctl reads a kernel parameter; the error of one that is not there is
	// fs.ErrNotExist.
	Sysctl(key string) (string, error)
	// FirewallIntact tells whether the firewall has this program's rules.
	FirewallIntact() (bool, error)
	// ElementComment returns the comment of the element with e's key, and whether
	// there is one.
	ElementComment(e kernel.Element) (note string, ok bool, err error)
	// ForwardingTables returns the entries of a network's forwarding tables: those that
	// neither were learned nor are the kernel's own.
	ForwardingTables(bridge, device string) (kernel.ForwardingTables, error)
	// ChangeForwardingTables makes changes of their entries.
	ChangeForwardingTables(kernel.ForwardingChanges) error
	// PortFlags returns how a bridge treats its port.
	PortFlags(name string) (kernel.PortFlags, error)
	// SetPort changes that.
	SetPort(name string, f kernel.PortFlags) error
	// SetFastPath makes a network's fast path what is wanted, and removes one that leads nowhere.
	// Forwarding must have made what it leads past. The error is kernel.ErrNoFastPath where the kernel cannot do it.
	SetFastPath(want kernel.FastPath) error
	// EvictFastPath has packets for a MAC, and from the port with it, go by the bridge again.
	EvictFastPath(device string, mac kernel.MAC) error
	// EvictFastPathPort is EvictFastPath for a port that stays: the bridge forgets that the MAC is there.
	EvictFastPathPort(device string, port kernel.FastPathPort) error
	// RemoveFastPath removes what would outlive a VXLAN device that is about to go or has gone.
	RemoveFastPath(device string) error
	// Apply makes one change.
	Apply(kernel.Change) error
}

// Network makes the host hold the network's bridge and KindVXLAN device, and in the
// device's FDB the flood entries, those of the zero MAC. The others are Forwarding's.
// Where it cannot, it does what it can and returns all errors.
//
// It reads the device's entries, of which there may be as many as remote
// containers: 10,000 take 15 to 50 ms.
func Network(host Namespace, s plan.State) error {
	return devices(host, s, kernel.FacetAddrs|kernel.FacetFDB)
}

// NetworkButEntries is Network for a caller who knows that another sees to the flood
// entries of a device that is there. A device that it has to make gets them.
func NetworkButEntries(host Namespace, s plan.State) error {
	return devices(host, s, kernel.FacetAddrs)
}

// devices looks at those facets of the KindVXLAN device.
func devices(host Namespace, s plan.State, f kernel.Facets) error {
	if err := global(host, s.GlobalSysctls); err != nil {
		return err
	}
	if err := bridge(host, s.Bridge); err != nil {
		return err
	}
	return device(host, s.Device, f)
}

// Sysctl sets a parameter if its device is there and has another value.
func Sysctl(host Namespace, want kernel.Sysctl) error { return global(host, []kernel.Sysctl{want}) }

// global sets parameters of the host as a whole, which stay when the network goes:
// others may rely on them by then.
func global(host Namespace, want []kernel.Sysctl) error {
	have, err := sysctls(host, want, nil)
	if err != nil {
		return err
	}
	lacking := missing(want, have)
	if len(lacking) == 0 {
		return nil
	}
	return host.Apply(kernel.SetSysctls{Sysctls: lacking})
}

func bridge(host Namespace, want kernel.Link) error {
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
	return apply(host, diff(want, have, ours))
}

// device recreates a KindVXLAN device whose fixed attributes differ: few of them can
// be changed in place (vxlan_changelink in drivers/net/vxlan/vxlan_core.c), and
// frames lost meanwhile are sent again.
func device(host Namespace, want kernel.Link, f kernel.Facets) error {
	have, err := observe(host, want, f)
	switch {
	case errors.Is(err, kernel.ErrNotFound):
		return errors.Join(host.RemoveFastPath(want.Name), createTunnel(host, want))
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
		return apply(host, diff(want, have, ours))
	}
	if err := errors.Join(host.RemoveFastPath(have.Name), host.Apply(kernel.DeleteLink{Name: have.Name})); err != nil {
		return err
	}
	return createTunnel(host, want)
}

// createTunnel names the device that is in the way when there is one.
func createTunnel(host Namespace, want kernel.Link) error {
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

// RemovePort removes a veth by its host's end, if it is there. One of that name that
// is another's is left alone.
func RemovePort(host Namespace, port kernel.Link) error {
	name, err := owned(host, port)
	return errors.Join(err, removeLinks(host, name))
}

// Remove removes a container's port, and with it the network's devices when no other port
// is left on its bridge, nor any of the other containers' veths, which
// somebody may have taken off the bridge. It tells whether the devices stay. Of the other veths' names it takes no more than it needs.
//
// All go together, as the kernel takes long for each link that is deleted by itself.
func Remove(host Namespace, port kernel.Link, s plan.State, others iter.Seq2[string, error]) (used bool, err error) {
	own, err := owned(host, port)
	used, usedErr := inUse(host, own, s, others)
	if used || usedErr != nil {
		return true, errors.Join(err, usedErr, removeLinks(host, own))
	}
	device, deviceErr := owned(host, s.Device)
	bridge, bridgeErr := owned(host, s.Bridge)
	return false, errors.Join(err, deviceErr, bridgeErr, removeLinks(host, own, device, bridge))
}

// removeLinks removes links by what owned returned.
func removeLinks(host Namespace, names ...string) error {
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	switch len(names) {
	case 0:
		return nil
	case 1:
		return host.Apply(kernel.DeleteLink{Name: names[0]})
	}
	return host.Apply(kernel.DeleteLinks{Names: names})
}

// inUse tells whether a network has other ports than the one of that name.
//
// Mostly the first of the other containers is where it should be. Only else are
// the ports listed, which takes the longer the more there are.
func inUse(host Namespace, own string, s plan.State, others iter.Seq2[string, error]) (bool, error) {
	for other, err := range others {
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
	ports, err := host.Ports(s.Bridge.Name)
	if err != nil && !errors.Is(err, kernel.ErrNotFound) {
		return true, err
	}
	return slices.ContainsFunc(ports, func(p string) bool { return p != s.Device.Name && p != own }), nil
}

// owned returns the name of a link to remove, "" if it isn't there or something else made it.
func owned(host Namespace, want kernel.Link) (string, error) {
	have, err := host.Link(want.Name, kernel.FacetAddrs)
	if errors.Is(err, kernel.ErrNotFound) || err == nil && checkOwner(want, have) != nil {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return have.Name, nil
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
	return complete(ns, diff(want, have, owner))
}

// complete is apply for a link that was just made. Its parameters are set without having been read.
func complete(ns Namespace, changes []kernel.Change) error {
	return apply(unread{ns}, changes)
}

type unread struct{ Namespace }

// Apply accepts that a parameter cannot be set that is not there, as in sysctls, or has its value, as where /proc/sys
// is read-only.
func (ns unread) Apply(c kernel.Change) error {
	err := ns.Namespace.Apply(c)
	set, ok := c.(kernel.SetSysctls)
	if err == nil || !ok {
		return err
	}
	have, readErr := sysctls(ns, set.Sysctls, nil)
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
	have.Sysctls, err = sysctls(ns, want.Sysctls, have.Sysctls)
	return have, err
}

// sysctls returns the parameters that want names, and reads those that are not known. One that is not there counts as
// being as wanted: where there is no IPv6, nothing of it needs to be set.
func sysctls(ns Namespace, want, known []kernel.Sysctl) ([]kernel.Sysctl, error) {
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

// apply goes on after an error, so that what can work does. Entries of an FDB go together: a network has one for each of
// up to a thousand hosts.
func apply(ns Namespace, changes []kernel.Change) error {
	var errs []error
	for len(changes) > 0 {
		n := entries(changes)
		if n > 1 {
			errs = append(errs, ns.ChangeForwardingTables(together(changes[:n])))
		} else {
			n = 1
			errs = append(errs, ns.Apply(changes[0]))
		}
		changes = changes[n:]
	}
	return errors.Join(errs...)
}

// entries counts the additions to the FDB of one device that the changes begin with.
func entries(changes []kernel.Change) (n int) {
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

func together(changes []kernel.Change) (all kernel.ForwardingChanges) {
	for _, c := range changes {
		entry := c.(kernel.AddFDB)
		all.Device = entry.Name
		all.Add.FDB = append(all.Add.FDB, entry.FDB)
	}
	return all
}
