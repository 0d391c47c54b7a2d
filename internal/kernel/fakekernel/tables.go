package fakekernel

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// Tables implements reconcile.Namespace.
func (ns *Namespace) Tables(bridge, device string) (t kernel.Tables, err error) {
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
		}
	}
	t.Static, t.Neighbours = slices.Clone(dev.static), slices.Clone(br.neighbours)
	return t, nil
}

// applyTables goes on after an entry that fails, as the kernel does.
func (ns *Namespace) applyTables(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.ChangeTables:
		var errs []error
		for one := range c.All() {
			errs = append(errs, ns.apply(one))
		}
		return errors.Join(errs...)
	case kernel.AddStatic:
		return ns.edit(c.Name, func(l *link) error { return ns.addStatic(l, c.MAC) })
	case kernel.DelStatic:
		return ns.edit(c.Name, func(l *link) error { l.static = without(l.static, c.MAC); return nil })
	case kernel.AddNeighbour:
		return ns.edit(c.Name, func(l *link) error {
			l.neighbours = append(notOf(l.neighbours, c.Neighbour), c.Neighbour)
			return nil
		})
	case kernel.DelNeighbour:
		return ns.edit(c.Name, func(l *link) error { l.neighbours = notOf(l.neighbours, c.Neighbour); return nil })
	}
	return fmt.Errorf("unknown change %T", c)
}

// addStatic knows that a bridge has a MAC at one port.
func (ns *Namespace) addStatic(l *link, mac kernel.MAC) error {
	if l.Master == "" {
		return unix.EOPNOTSUPP
	}
	for _, other := range ns.links {
		if other.Master == l.Master {
			other.static = without(other.static, mac)
		}
	}
	l.static = append(l.static, mac)
	return nil
}

func (ns *Namespace) setPort(c kernel.SetPort) error {
	return ns.edit(c.Name, func(l *link) error {
		if l.Master == "" {
			return unix.EOPNOTSUPP
		}
		if c.Flags.Learning.Set {
			l.Port.Learning = c.Flags.Learning
		}
		if c.Flags.Suppress.Set {
			l.Port.Suppress = c.Flags.Suppress
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
