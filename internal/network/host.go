package network

import (
	"net/netip"

	"vxlan-driver/internal/kernel"
)

// InterfaceLookup finds the host's interfaces. A lookup that finds nothing returns a zero
// Interface and no error.
type InterfaceLookup interface {
	// Interface returns the interface with the name or alternative name.
	Interface(name string) (kernel.Interface, error)
	// InterfaceByAddr returns the interface that has the address.
	InterfaceByAddr(addr netip.Addr) (kernel.Interface, error)
	// DefaultRouteInterface returns the interface of the default route with the
	// lowest metric in the main table, for IPv6 or else IPv4.
	DefaultRouteInterface(ipv6 bool) (kernel.Interface, error)
}
