package fakekernel

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// FastPath implements reconcile.Namespace.
func (ns *Namespace) FastPath(device string) (kernel.FastPath, bool, error) {
	s, ok := ns.shortcuts[device]
	return copied(s), ok, ns.kernel.call()
}

func copied(s kernel.FastPath) kernel.FastPath {
	s.Remote, s.Ports = slices.Clone(s.Remote), slices.Clone(s.Ports)
	return s
}

// Redirects implements reconcile.Namespace. A port that is gone has no name.
func (ns *Namespace) Redirects(device string) ([]kernel.FastPathPort, bool, error) {
	if err := ns.kernel.call(); err != nil {
		return nil, false, err
	}
	l := ns.find(device)
	if l == nil {
		return nil, false, fmt.Errorf("read redirects of %s: %w", device, kernel.ErrNotFound)
	}
	return slices.Clone(l.redirects), l.redirects != nil, nil
}

// StickyEntries implements reconcile.Namespace.
func (ns *Namespace) StickyEntries(bridge string, macs []kernel.MAC) (all []kernel.FastPathPort, err error) {
	for _, l := range ns.links {
		for _, m := range l.static {
			if l.Master == bridge && slices.Contains(macs, m) {
				all = append(all, kernel.FastPathPort{Name: l.Name, MAC: m})
			}
		}
	}
	return all, ns.kernel.call()
}

// isLeft tells whether a change leaves what it is about as it is. It is not logged then.
func (ns *Namespace) isLeft(c kernel.Change) bool {
	has := func(m kernel.MAC) func(kernel.FastPathPort) bool {
		return func(p kernel.FastPathPort) bool { return p.MAC == m }
	}
	switch c := c.(type) {
	case kernel.EvictFastPath:
		s := ns.shortcuts[c.Device]
		return !slices.Contains(s.Remote, c.MAC) && !slices.ContainsFunc(s.Ports, has(c.MAC))
	case kernel.DelRedirect:
		l := ns.find(c.Device)
		return l == nil || !slices.ContainsFunc(l.redirects, has(c.MAC))
	}
	return false
}

func (ns *Namespace) applyShortcut(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.SetFastPath:
		if ns.find(c.FastPath.Device) == nil {
			return kernel.ErrNotFound
		}
		if ns.shortcuts == nil {
			ns.shortcuts = make(map[string]kernel.FastPath)
		}
		ns.shortcuts[c.FastPath.Device] = kernel.FastPath{Device: c.FastPath.Device}
		return ns.changeShortcut(kernel.ChangeFastPath{Device: c.FastPath.Device, Add: c.FastPath})
	case kernel.ChangeFastPath:
		return ns.changeShortcut(c)
	case kernel.EvictFastPath:
		s := copied(ns.shortcuts[c.Device])
		s.Remote, s.Ports = without(s.Remote, c.MAC), withoutMAC(s.Ports, c.MAC)
		ns.shortcuts[c.Device] = s
	case kernel.DelFastPath:
		delete(ns.shortcuts, c.Device)
	}
	return nil
}

// changeShortcut knows that the kernel refuses to delete what is not there, a port that is not, and two chains of one name.
func (ns *Namespace) changeShortcut(c kernel.ChangeFastPath) error {
	s := copied(ns.shortcuts[c.Device])
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
	for _, p := range c.Add.Ports {
		if ns.find(p.Name) == nil {
			return fmt.Errorf("%s: %w", p.Name, kernel.ErrNotFound)
		}
		if slices.ContainsFunc(s.Ports, func(x kernel.FastPathPort) bool { return x.MAC == p.MAC }) {
			return unix.EEXIST
		}
		s.Ports = append(s.Ports, p)
	}
	ns.shortcuts[c.Device] = s
	return nil
}

func (ns *Namespace) applyRedirect(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.SetRedirects:
		if ns.NoFastPath {
			return kernel.ErrNoFastPath
		}
		return ns.edit(c.Device, func(l *link) error {
			l.redirects = slices.DeleteFunc(slices.Clone(c.Ports), func(p kernel.FastPathPort) bool { return ns.find(p.Name) == nil })
			if l.redirects == nil {
				l.redirects = []kernel.FastPathPort{}
			}
			return nil
		})
	case kernel.AddRedirect:
		return ns.edit(c.Device, func(l *link) error {
			taken := slices.ContainsFunc(l.redirects, func(x kernel.FastPathPort) bool { return x.MAC == c.Port.MAC })
			if !taken && ns.find(c.Port.Name) != nil {
				l.redirects = append(l.redirects, c.Port)
			}
			return nil
		})
	case kernel.DelRedirect:
		return ns.edit(c.Device, func(l *link) error { l.redirects = withoutMAC(l.redirects, c.MAC); return nil })
	}
	return fmt.Errorf("unknown change %T", c)
}

func withoutMAC(ports []kernel.FastPathPort, m kernel.MAC) []kernel.FastPathPort {
	return slices.DeleteFunc(ports, func(p kernel.FastPathPort) bool { return p.MAC == m })
}

// orphan is what becomes of shortcuts when a link goes: of its own only the table is left, and the chain for
// what it sends is there or not by the kernel's version; what leads to it leads nowhere.
func (ns *Namespace) orphan(name string) {
	for device, s := range ns.shortcuts {
		if s.Device == name {
			ns.shortcuts[device] = kernel.FastPath{}
		}
	}
	for _, l := range ns.links {
		for i, p := range l.redirects {
			if p.Name == name {
				l.redirects[i].Name = ""
			}
		}
	}
}
