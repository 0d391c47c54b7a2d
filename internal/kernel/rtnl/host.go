package rtnl

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// Interface returns the interface with the name or alternative name, or a zero
// one if there is none.
func (c *Conn) Interface(name string) (kernel.Interface, error) {
	l, err := c.Link(name, kernel.FacetAddrs)
	if errors.Is(err, kernel.ErrNotFound) {
		return kernel.Interface{}, nil
	}
	if err != nil {
		return kernel.Interface{}, err
	}
	i := kernel.Interface{Name: l.Name, Kind: l.Kind, MTU: l.MTU, Up: l.Up}
	for _, a := range l.Addrs {
		i.Addrs = append(i.Addrs, a.Prefix)
	}
	return i, nil
}

// InterfaceByAddr returns the interface that has the address, whatever its scope.
func (c *Conn) InterfaceByAddr(addr netip.Addr) (kernel.Interface, error) {
	addr = addr.Unmap().WithZone("")
	found, err := c.findAddrs(addressFamily(addr), 0)
	if err != nil {
		return kernel.Interface{}, fmt.Errorf("find address %s: %w", addr, err)
	}
	for _, f := range found {
		if f.Addr() == addr {
			return c.interfaceAt(f.index)
		}
	}
	return kernel.Interface{}, nil
}

// DefaultRouteInterface returns the interface of the default route with the lowest
// metric in the main table, the first of those if there are several.
func (c *Conn) DefaultRouteInterface(ipv6 bool) (kernel.Interface, error) {
	family := uint8(unix.AF_INET)
	if ipv6 {
		family = unix.AF_INET6
	}
	routes, err := c.findRoutes(family)
	if err != nil {
		return kernel.Interface{}, fmt.Errorf("find default route: %w", err)
	}
	var best *foundRoute
	for i, r := range routes {
		if r.Dst.Bits() == 0 && r.Type == kernel.RouteUnicast && r.index != 0 &&
			(best == nil || r.Metric < best.Metric) {
			best = &routes[i]
		}
	}
	if best == nil {
		return kernel.Interface{}, nil
	}
	return c.interfaceAt(best.index)
}

func (c *Conn) interfaceAt(index uint32) (kernel.Interface, error) {
	name, err := c.NameOf(index)
	if err != nil || name == "" { // deleted meanwhile
		return kernel.Interface{}, err
	}
	return c.Interface(name)
}
