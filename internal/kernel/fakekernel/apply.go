package fakekernel

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

func (s *stack) apply(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.CreateLink:
		return s.create(c.Link)
	case kernel.DeleteLink:
		s.remove(c.Name)
		return nil
	case kernel.DeleteLinks:
		for _, name := range c.Names {
			s.remove(name)
		}
		return nil
	case kernel.SetAlias:
		return s.edit(c.Name, func(l *link) error { l.Alias = c.Alias; return nil })
	case kernel.AddAltName:
		return s.addAltName(c)
	case kernel.SetMTU:
		return s.edit(c.Name, func(l *link) error { l.MTU = c.MTU; return nil })
	case kernel.SetMAC:
		return s.edit(c.Name, func(l *link) error { l.MAC = c.MAC; return nil })
	case kernel.SetMaster:
		return s.setMaster(c)
	case kernel.SetLearning:
		return s.edit(c.Name, func(l *link) error { l.Tunnel.Learning = c.On; return nil })
	case kernel.SetTXChecksum:
		return s.edit(c.Name, func(l *link) error { l.TXChecksum = kernel.Some(c.On); return nil })
	case kernel.SetNoLinkLocal:
		return s.edit(c.Name, func(l *link) error { l.NoLinkLocal = true; return nil })
	case kernel.SetSysctls:
		return s.setSysctls(c.Sysctls)
	case kernel.SetUp:
		return s.edit(c.Name, func(l *link) error { l.Up = true; return nil })
	case kernel.AddAddr:
		return s.addAddr(c)
	case kernel.DelAddr:
		return s.edit(c.Name, func(l *link) error {
			l.Addrs = slices.DeleteFunc(l.Addrs, func(a kernel.Addr) bool { return a.Prefix == c.Addr.Prefix })
			return nil
		})
	case kernel.AddRoute:
		return s.addRoute(c)
	case kernel.DelRoute:
		for _, l := range s.links {
			l.Routes = slices.DeleteFunc(l.Routes, func(r kernel.Route) bool { return r == c.Route })
		}
		return nil
	case kernel.DeleteFlows:
		return s.kernel.FlowsErr // there are none
	case kernel.AddFDB:
		return s.addFDB(c)
	case kernel.AddStatic, kernel.DelStatic, kernel.AddNeighbour, kernel.DelNeighbour:
		return s.applyEntry(c)
	case kernel.DelFDB:
		return s.edit(c.Name, func(l *link) error {
			l.FDB = slices.DeleteFunc(l.FDB, func(e kernel.FDB) bool { return e == c.FDB })
			return nil
		})
	}
	return fmt.Errorf("unknown change %T", c)
}

func (s *stack) setSysctls(all []kernel.Sysctl) error {
	var errs []error
	for _, param := range all {
		errs = append(errs, s.setSysctl(param))
	}
	return errors.Join(errs...)
}

func (s *stack) setSysctl(param kernel.Sysctl) error {
	if isGlobalSysctl(param.Key) {
		if s.sysctls == nil {
			s.sysctls = make(map[string]string)
		}
		s.sysctls[param.Key] = param.Value
		return nil
	}
	return s.edit(sysctlDevice(param.Key), func(l *link) error {
		if l.sysctls == nil {
			l.sysctls = make(map[string]string)
		}
		l.sysctls[param.Key] = param.Value
		return nil
	})
}

func (s *stack) edit(name string, change func(*link) error) error {
	l := s.find(name)
	if l == nil {
		return kernel.ErrNotFound
	}
	return change(l)
}

// create leaves the link as the kernel leaves it: down, unmarked, no port.
func (s *stack) create(want kernel.Link) error {
	if s.find(want.Name) != nil || want.Kind == kernel.KindVXLAN && s.kernel.collides(want.Tunnel) {
		return unix.EEXIST
	}
	l := &link{Link: kernel.Link{Name: want.Name, Kind: want.Kind, MTU: want.MTU, MAC: want.MAC, Tunnel: want.Tunnel}}
	s.kernel.links++
	if l.MAC.IsZero() {
		l.MAC = kernel.MAC{0x0a, 4: byte(s.kernel.links >> 8), 5: byte(s.kernel.links)}
	}
	if want.Kind == kernel.KindVXLAN && s.find(want.Tunnel.Dev) == nil {
		return unix.ENODEV
	}
	if want.Kind == kernel.KindVeth {
		other, ok := s.kernel.spaces[want.Peer.Namespace]
		if !ok {
			return unix.ENOENT
		}
		if other.find(want.Peer.Name) != nil {
			return unix.EEXIST
		}
		peer := kernel.Link{Name: want.Peer.Name, Kind: kernel.KindVeth, MTU: want.Peer.MTU, MAC: want.Peer.MAC}
		l.peer = &link{Link: peer, peer: l, peerSpace: s}
		l.peerSpace = other.stack
		other.links = append(other.links, l.peer)
	}
	s.links = append(s.links, l)
	return nil
}

// remove removes a link with all that hangs on it.
func (s *stack) remove(name string) {
	l := s.find(name)
	if l == nil {
		return
	}
	s.links = slices.DeleteFunc(s.links, func(x *link) bool { return x == l })
	s.loseLink(l.Name)
	if l.peer != nil {
		l.peerSpace.links = slices.DeleteFunc(l.peerSpace.links, func(x *link) bool { return x == l.peer })
	}
	for _, x := range slices.Clone(s.links) {
		if x.Master == name {
			x.Master = ""
		}
		for i := range x.FDB {
			if x.FDB[i].Via == name {
				x.FDB[i].Via = "#" + name
			}
		}
		if x.Kind == kernel.KindVXLAN && x.Tunnel.Dev == name {
			s.remove(x.Name)
		}
	}
}

func (s *stack) addAltName(c kernel.AddAltName) error {
	return s.edit(c.Name, func(l *link) error {
		switch holder := s.find(c.AltName); holder {
		case nil:
			l.AltNames = append(l.AltNames, c.AltName)
		case l:
		default:
			return unix.EEXIST
		}
		return nil
	})
}

func (s *stack) setMaster(c kernel.SetMaster) error {
	return s.edit(c.Name, func(l *link) error {
		if c.Master != "" {
			if master := s.find(c.Master); master == nil || master.Kind != kernel.KindBridge {
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

func (s *stack) addAddr(c kernel.AddAddr) error {
	return s.edit(c.Name, func(l *link) error {
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

// addRoute knows that in IPv6 a destination and metric is there once in a namespace.
func (s *stack) addRoute(c kernel.AddRoute) error {
	return s.edit(c.Name, func(l *link) error {
		if !l.Up {
			return unix.ENETDOWN
		}
		for _, other := range s.links {
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

// addFDB refuses an entry by a device that is not there. One whose device goes later stays, as in the
// kernel.
func (s *stack) addFDB(c kernel.AddFDB) error {
	if c.FDB.Via != "" && s.find(c.FDB.Via) == nil {
		return kernel.ErrNotFound
	}
	return s.edit(c.Name, func(l *link) error {
		if slices.Contains(l.FDB, c.FDB) {
			return nil
		}
		l.FDB = slices.DeleteFunc(l.FDB, func(e kernel.FDB) bool { return !e.MAC.IsZero() && e.MAC == c.FDB.MAC })
		l.FDB = append(l.FDB, c.FDB)
		return nil
	})
}
