package network

import (
	"net/netip"

	"vxlan-driver/internal/kernel"
)

// InterfaceLookup finds what a network needs to know of the host. A lookup that finds nothing
// returns a zero value and no error.
type InterfaceLookup interface {
	// Interface returns the interface with the name or alternative name.
	Interface(name string) (kernel.Interface, error)
	// InterfaceByAddr returns the interface that has the address.
	InterfaceByAddr(addr netip.Addr) (kernel.Interface, error)
	// OwnAddrs returns those of the addresses that an interface of this host has, in their order.
	OwnAddrs(addrs []netip.Addr) ([]netip.Addr, error)
	// RouteTo returns by which interface the kernel sends to the address, and from which address of
	// its own. With via, only the routes of that interface count. With from, the packet has that
	// source address, by which routing policies (ip-rule(8)) may choose another table.
	RouteTo(dst netip.Addr, via string, from netip.Addr) (kernel.Path, error)
	// DefaultRouteInterface returns the interface of the default route with the lowest metric in
	// the main table, for IPv6 or else IPv4.
	DefaultRouteInterface(ipv6 bool) (kernel.Interface, error)
	// HostPrefixes returns the ranges of addresses that the host itself uses.
	HostPrefixes() ([]kernel.HostPrefix, error)
	// CheckVXLAN returns kernel.ErrNotSupported where the kernel has no VXLAN devices.
	CheckVXLAN() error
}
