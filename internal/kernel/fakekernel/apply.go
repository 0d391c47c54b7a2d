package fakekernel

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

func (ns *Namespace) apply(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.CreateLink:
		return ns.create(c.Link)
	case kernel.DeleteLink:
		ns.remove(c.Name)
		return nil
	case kernel.DeleteLinks:
		for _, name := range c.Names {
			ns.remove(name)
		}
		return nil
	case kernel.SetAlias:
		return ns.edit(c.Name, func(l *link) error { l.Alias = c.Alias; return nil })
	case kernel.AddAltName:
		return ns.addAltName(c)
	case kernel.SetMTU:
		return ns.edit(c.Name, func(l *link) error { l.MTU = c.MTU; return nil })
	case kernel.SetMAC:
		return ns.edit(c.Name, func(l *link) error { l.MAC = c.MAC; return nil })
	case kernel.SetMaster:
		return ns.setMaster(c)
	case kernel.SetLearning:
		return ns.edit(c.Name, func(l *link) error { l.Tunnel.Learning = c.On; return nil })
	case kernel.SetNoLinkLocal:
		return ns.edit(c.Name, func(l *link) error { l.NoLinkLocal = true; return nil })
	case kernel.SetSysctls:
		return ns.setSysctls(c.Sysctls)
	case kernel.SetUp:
		return ns.edit(c.Name, func(l *link) error { l.Up = true; return nil })
	case kernel.AddAddr:
		return ns.addAddr(c)
	case kernel.DelAddr:
		return ns.edit(c.Name, func(l *link) error {
			l.Addrs = slices.DeleteFunc(l.Addrs, func(a kernel.Addr) bool { return a.Prefix == c.Addr.Prefix })
			return nil
		})
	case kernel.AddRoute:
		return ns.addRoute(c)
	case kernel.AddFDB:
		return ns.addFDB(c)
	case kernel.AddStatic, kernel.DelStatic, kernel.AddNeighbour, kernel.DelNeighbour:
		return ns.applyEntry(c)
	case kernel.DelFDB:
		return ns.edit(c.Name, func(l *link) error {
			l.FDB = slices.DeleteFunc(l.FDB, func(e kernel.FDB) bool { return e == c.FDB })
			return nil
		})
	case kernel.SetFirewall, kernel.DeleteFirewall, kernel.AddElements, kernel.DelElements:
		return ns.applyFirewall(c)
	}
	return fmt.Errorf("unknown change %T", c)
}

func (ns *Namespace) setSysctls(all []kernel.Sysctl) error {
	var errs []error
	for _, s := range all {
		errs = append(errs, ns.setSysctl(s))
	}
	return errors.Join(errs...)
}

func (ns *Namespace) setSysctl(s kernel.Sysctl) error {
	if global(s.Key) {
		if ns.sysctls == nil {
			ns.sysctls = make(map[string]string)
		}
		ns.sysctls[s.Key] = s.Value
		return nil
	}
	return ns.edit(device(s.Key), func(l *link) error {
		if l.sysctls == nil {
			l.sysctls = make(map[string]string)
		}
		l.sysctls[s.Key] = s.Value
		return nil
	})
}

func (ns *Namespace) edit(name string, change func(*link) error) error {
	l := ns.find(name)
	if l == nil {
		return kernel.ErrNotFound
	}
	return change(l)
}

// create leaves the link as the kernel leaves it: down, unmarked, no port.
func (ns *Namespace) create(want kernel.Link) error {
	if ns.find(want.Name) != nil || want.Kind == kernel.KindVXLAN && ns.kernel.collides(want.Tunnel) {
		return unix.EEXIST
	}
	l := &link{Link: kernel.Link{Name: want.Name, Kind: want.Kind, MTU: want.MTU, MAC: want.MAC, Tunnel: want.Tunnel}}
	ns.kernel.links++
	if l.MAC.IsZero() {
		l.MAC = kernel.MAC{0x0a, 4: byte(ns.kernel.links >> 8), 5: byte(ns.kernel.links)}
	}
	if want.Kind == kernel.KindVXLAN && ns.find(want.Tunnel.Dev) == nil {
		return unix.ENODEV
	}
	if want.Kind == kernel.KindVeth {
		other, ok := ns.kernel.spaces[want.Peer.Namespace]
		if !ok {
			return unix.ENOENT
		}
		if other.find(want.Peer.Name) != nil {
			return unix.EEXIST
		}
		peer := kernel.Link{Name: want.Peer.Name, Kind: kernel.KindVeth, MTU: want.Peer.MTU, MAC: want.Peer.MAC}
		l.peer = &link{Link: peer, peer: l, peerSpace: ns}
		l.peerSpace = other
		other.links = append(other.links, l.peer)
	}
	ns.links = append(ns.links, l)
	return nil
}

// remove removes a link with all that hangs on it.
func (ns *Namespace) remove(name string) {
	l := ns.find(name)
	if l == nil {
		return
	}
	ns.links = slices.DeleteFunc(ns.links, func(x *link) bool { return x == l })
	ns.loseLink(l.Name)
	if l.peer != nil {
		l.peerSpace.links = slices.DeleteFunc(l.peerSpace.links, func(x *link) bool { return x == l.peer })
	}
	for _, x := range slices.Clone(ns.links) {
		if x.Master == name {
			x.Master = ""
		}
		if x.Kind == kernel.KindVXLAN && x.Tunnel.Dev == name {
			ns.remove(x.Name)
		}
	}
}

func (ns *Namespace) addAltName(c kernel.AddAltName) error {
	return ns.edit(c.Name, func(l *link) error {
		switch holder := ns.find(c.AltName); holder {
		case nil:
			l.AltNames = append(l.AltNames, c.AltName)
		case l:
		default:
			return unix.EEXIST
		}
		return nil
	})
}

func (ns *Namespace) setMaster(c kernel.SetMaster) error {
	return ns.edit(c.Name, func(l *link) error {
		if c.Master != "" {
			if master := ns.find(c.Master); master == nil || master.Kind != kernel.KindBridge {
				return unix.EINVAL
			}
		}
		if l.Master != c.Master {
			l.port, l.static = kernel.PortFlags{}, nil
		}
		l.Master = c.Master
		return nil
	})
}

func (ns *Namespace) addAddr(c kernel.AddAddr) error {
	return ns.edit(c.Name, func(l *link) error {
		for _, a := range l.Addrs {
			if a.Prefix == c.Addr.Prefix {
				return nil
			}
			if a.Prefix.Addr() == c.Addr.Prefix.Addr() && a.Prefix.Addr().Is6() {
				return unix.EEXIST
			}
		}
		l.Addrs = append(l.Addrs, kernel.Addr{Prefix: c.Addr.Prefix})
		return nil
	})
}

// addRoute knows that in IPv6 a destination and metric is there once in a
// namespace.
func (ns *Namespace) addRoute(c kernel.AddRoute) error {
	return ns.edit(c.Name, func(l *link) error {
		if !l.Up {
			return unix.ENETDOWN
		}
		for _, other := range ns.links {
			for _, r := range other.Routes {
				alike := r.Dst == c.Route.Dst && r.Metric == c.Route.Metric
				if alike && (r.Dst.Addr().Is6() || other == l && r == c.Route) {
					return nil
				}
			}
		}
		l.Routes = append(l.Routes, c.Route)
		return nil
	})
}

func (ns *Namespace) addFDB(c kernel.AddFDB) error {
	return ns.edit(c.Name, func(l *link) error {
		if slices.Contains(l.FDB, c.FDB) {
			return nil
		}
		l.FDB = slices.DeleteFunc(l.FDB, func(e kernel.FDB) bool { return !e.MAC.IsZero() && e.MAC == c.FDB.MAC })
		l.FDB = append(l.FDB, c.FDB)
		return nil
	})
}
