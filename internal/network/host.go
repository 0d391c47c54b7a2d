package network

import (
	"net/netip"

	"vxlan-driver/internal/kernel"
)

// InterfaceLookup finds the host's interfaces. A lookup that finds nothing returns a zero
// Interface and no error.
type InterfaceLookup interface {
	// Interface returns the interface with the name or alternative name.
	Interface(name string) (Interface, error)
	// InterfaceByAddr returns the interface that has the address.
	InterfaceByAddr(addr netip.Addr) (Interface, error)
	// DefaultRouteInterface returns the interface of the default route with the
	// lowest metric in the main table, for IPv6 or else IPv4.
	DefaultRouteInterface(ipv6 bool) (Interface, error)
}

// Interface is a network interface of the host that may be an underlay.
type Interface struct {
	Name  string
	Kind  kernel.Kind // "" for a physical one
	MTU   int         // bytes
	Up    bool
	Addrs []netip.Prefix // of global scope, in the kernel's order, not masked
}
