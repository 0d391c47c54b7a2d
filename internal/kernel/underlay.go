package kernel

import (
	"net/netip"
	"slices"
)

// Interface is a network interface of the host, as far as an underlay is concerned.
type Interface struct {
	Name     string
	Kind     Kind // "" for a physical one
	MTU      int  // bytes
	Up       bool
	Loopback bool
	Addrs    []netip.Prefix // of global scope, in the kernel's order, not masked
	// Tentative are those of Addrs that duplicate address detection has not accepted (RFC 4862).
	Tentative []netip.Addr
}

// HasAddr tells whether the interface has the address, with whatever prefix length.
func (i Interface) HasAddr(addr netip.Addr) bool {
	return slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Addr() == addr })
}

// Path is how the kernel sends to an address: by which interface and from which address. A zero
// Path means that there is no route.
type Path struct {
	Interface string
	Source    netip.Addr
}

// HostPrefix is a range of addresses that the host itself uses.
type HostPrefix struct {
	Prefix    netip.Prefix
	Interface string
	Use       PrefixUse
}

// PrefixUse says what the host uses a range of addresses for.
type PrefixUse string

// The uses of a range. The text completes "10.8.0.0/24, … wg0".
const (
	UseAddress PrefixUse = "the network of interface"
	UseRoute   PrefixUse = "a route by interface"
	UseGateway PrefixUse = "the gateway of a route by interface"
)
