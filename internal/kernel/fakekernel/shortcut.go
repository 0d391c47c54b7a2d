package fakekernel

import (
	"fmt"
	"slices"

	"vxlan-driver/internal/kernel"
)

// Shortcut implements reconcile.Namespace.
func (ns *Namespace) Shortcut(device string) (kernel.Shortcut, bool, error) {
	s, ok := ns.shortcuts[device]
	return s.Clone(), ok, ns.kernel.call()
}

// isLeft tells whether a change leaves a shortcut what it is. It is not logged then.
func (ns *Namespace) isLeft(c kernel.Change) bool {
	l, ok := c.(kernel.LeaveShortcut)
	s := ns.shortcuts[l.Device]
	return ok && !slices.Contains(s.Remote, l.MAC) && !slices.ContainsFunc(s.Ports, func(p kernel.ShortcutPort) bool { return p.MAC == l.MAC })
}

func (ns *Namespace) applyShortcut(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.SetShortcut:
		if ns.find(c.Shortcut.Device) == nil {
			return kernel.ErrNotFound
		}
		if ns.shortcuts == nil {
			ns.shortcuts = make(map[string]kernel.Shortcut)
		}
		s := c.Shortcut.Clone()
		s.Ports = ns.present(s.Ports)
		ns.shortcuts[s.Device] = s
	case kernel.ChangeShortcut:
		return ns.changeShortcut(c)
	case kernel.LeaveShortcut:
		s := ns.shortcuts[c.Device].Clone()
		s.Remote = without(s.Remote, c.MAC)
		for i, p := range s.Ports {
			if p.MAC == c.MAC {
				s.Ports[i].MAC = kernel.MAC{}
			}
		}
		ns.shortcuts[c.Device] = s
	case kernel.DelShortcut:
		delete(ns.shortcuts, c.Device)
	}
	return nil
}

// changeShortcut knows that the kernel refuses to delete what is not there.
func (ns *Namespace) changeShortcut(c kernel.ChangeShortcut) error {
	s := ns.shortcuts[c.Device].Clone()
	for _, m := range c.Delete.Remote {
		if !slices.Contains(s.Remote, m) {
			return fmt.Errorf("%s: %w", m, kernel.ErrNotFound)
		}
		s.Remote = without(s.Remote, m)
	}
	for _, p := range c.Delete.Ports {
		i := slices.Index(s.Ports, p)
		if i < 0 {
			return fmt.Errorf("%s: %w", p.Name, kernel.ErrNotFound)
		}
		s.Ports = slices.Delete(s.Ports, i, i+1)
	}
	s.Remote = append(s.Remote, c.Add.Remote...)
	s.Ports = append(s.Ports, ns.present(c.Add.Ports)...)
	ns.shortcuts[c.Device] = s
	return nil
}

func (ns *Namespace) present(ports []kernel.ShortcutPort) []kernel.ShortcutPort {
	return slices.DeleteFunc(slices.Clone(ports), func(p kernel.ShortcutPort) bool { return ns.find(p.Name) == nil })
}

// orphan is what becomes of shortcuts when a link goes: of its own only the table is left, of one that
// leads to it the element.
func (ns *Namespace) orphan(name string) {
	for device, s := range ns.shortcuts {
		s = s.Clone()
		if s.Device == name {
			s = kernel.Shortcut{}
		}
		for i, p := range s.Ports {
			if p.Name == name {
				s.Ports[i].Name = ""
			}
		}
		ns.shortcuts[device] = s
	}
}
