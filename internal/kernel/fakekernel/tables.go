package fakekernel

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// ForwardingTables implements reconcile.Namespace.
func (ns forwarding) ForwardingTables(bridge, device string,
	only *kernel.ForwardingKeys) (t kernel.ForwardingTables, err error) {
	if err := ns.kernel.call(); err != nil {
		return t, err
	}
	br, dev := ns.find(bridge), ns.find(device)
	if br == nil || dev == nil {
		return t, fmt.Errorf("read forwarding tables of %s and %s: %w", bridge, device, kernel.ErrNotFound)
	}
	for _, e := range dev.FDB {
		if !e.MAC.IsZero() {
			t.FDB = append(t.FDB, e)
		} else {
			t.Flood = append(t.Flood, e)
		}
	}
	t.Static, t.Neighbours = slices.Clone(dev.static), slices.Clone(br.neighbours)
	if only == nil {
		ns.kernel.Dumps++
		return t, nil
	}
	ns.kernel.Looks += len(only.MACs) + len(only.Addrs)
	t.Flood = nil
	t.FDB = slices.DeleteFunc(t.FDB, func(e kernel.FDB) bool { return !slices.Contains(only.MACs, e.MAC) })
	t.Static = slices.DeleteFunc(t.Static, func(m kernel.MAC) bool { return !slices.Contains(only.MACs, m) })
	t.Neighbours = slices.DeleteFunc(t.Neighbours, func(n kernel.Neighbour) bool {
		return !slices.Contains(only.Addrs,
			n.Addr)
	})
	return t, nil
}

// ChangeForwardingTables implements reconcile.Namespace. It goes on after an entry that fails, as
// the kernel does, and is one call.
func (ns forwarding) ChangeForwardingTables(c kernel.ForwardingChanges) error {
	if err := ns.kernel.call(); err != nil {
		return err
	}
	var errs []error
	for one := range c.All() {
		if err := ns.apply(one); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", one, err))
			continue
		}
		ns.kernel.Log = append(ns.kernel.Log, one.String())
	}
	return errors.Join(errs...)
}

func (s *stack) applyEntry(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.AddStatic:
		return s.edit(c.Name, func(l *link) error { return s.addStatic(l, c.MAC) })
	case kernel.DelStatic:
		return s.edit(c.Name, func(l *link) error { l.static = without(l.static, c.MAC); return nil })
	case kernel.AddNeighbour:
		return s.edit(c.Name, func(l *link) error {
			l.neighbours = append(notOf(l.neighbours, c.Neighbour), c.Neighbour)
			return nil
		})
	case kernel.DelNeighbour:
		return s.edit(c.Name, func(l *link) error { l.neighbours = notOf(l.neighbours, c.Neighbour); return nil })
	}
	return fmt.Errorf("unknown change %T", c)
}

// addStatic knows that a bridge has a MAC at one port.
func (s *stack) addStatic(l *link, mac kernel.MAC) error {
	if l.Master == "" {
		return unix.EOPNOTSUPP
	}
	for _, other := range s.links {
		if other.Master == l.Master {
			other.static = without(other.static, mac)
		}
	}
	l.static = append(l.static, mac)
	return nil
}

// PortFlags implements reconcile.Namespace.
func (ns forwarding) PortFlags(name string) (kernel.PortFlags, error) {
	if err := ns.kernel.call(); err != nil {
		return kernel.PortFlags{}, err
	}
	if l := ns.find(name); l != nil {
		return l.port, nil
	}
	return kernel.PortFlags{}, fmt.Errorf("read port %s: %w", name, kernel.ErrNotFound)
}

// SetPort implements reconcile.Namespace.
func (ns forwarding) SetPort(name string, f kernel.PortFlags) error {
	err := ns.kernel.call()
	if err == nil {
		err = ns.setPort(name, f)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Command(name), err)
	}
	ns.kernel.Log = append(ns.kernel.Log, f.Command(name))
	return nil
}

func (s *stack) setPort(name string, f kernel.PortFlags) error {
	return s.edit(name, func(l *link) error {
		if l.Master == "" {
			return unix.EOPNOTSUPP
		}
		if f.Learning.Set {
			l.port.Learning = f.Learning
		}
		if f.Suppress.Set {
			l.port.Suppress = f.Suppress
		}
		return nil
	})
}

func without(list []kernel.MAC, m kernel.MAC) []kernel.MAC {
	return slices.DeleteFunc(list, func(x kernel.MAC) bool { return x == m })
}

func notOf(list []kernel.Neighbour, n kernel.Neighbour) []kernel.Neighbour {
	return slices.DeleteFunc(list, func(x kernel.Neighbour) bool { return x.Addr == n.Addr })
}
