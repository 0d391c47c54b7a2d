package plan

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// PortName is the host's end of a container's veth, as far as names go. Of the endpoint only the
// container's id counts, and the name that its user gave the host's end.
func PortName(id network.Identity, e network.Endpoint) kernel.Link {
	return kernel.Link{Name: id.Port(e), Kind: kernel.KindVeth, Alias: id.EndpointAlias(e), Master: id.Bridge.Name}
}

// veth gives the container its addresses and routes, and its port no address of its own.
func veth(n PlacedNetwork, e network.Endpoint) Veth {
	outside := PortName(n.Identity, e)
	outside.MTU = n.VTEP.MTU
	outside.MAC = n.PortMAC(e)
	outside.Up = true
	outside.NoLinkLocal = true
	outside.Sysctls = portSysctls(n.Network, outside.Name)
	outside.Peer = kernel.Peer{Name: e.Interface, Namespace: e.Namespace, MAC: e.MAC, MTU: n.VTEP.MTU}
	return Veth{
		Port:      outside,
		Device:    n.Device.Name,
		Namespace: e.Namespace,
		Container: kernel.Link{
			Name:    e.Interface,
			Alias:   n.Alias(),
			Kind:    kernel.KindVeth,
			MTU:     n.VTEP.MTU,
			MAC:     e.MAC,
			Up:      true,
			Addrs:   containerAddrs(e),
			Routes:  containerRoutes(n.Network, e),
			Sysctls: containerSysctls(n.Network, e),
		},
		Announce: announcementSysctls(n.Network, e),
	}
}

// ContainerInterface is the container's end of its veth.
func ContainerInterface(n PlacedNetwork, e network.Endpoint) kernel.Link { return veth(n, e).Container }

func containerAddrs(e network.Endpoint) []kernel.Addr {
	var addrs []kernel.Addr
	for _, p := range e.Addrs {
		addrs = append(addrs, linkAddr(p.Addr(), p.Bits()))
	}
	return addrs
}

// containerRoutes are the default route of each family that the container has an address of,
// through the first gateway of that family, and the network's own.
func containerRoutes(n network.Network, e network.Endpoint) []kernel.Route {
	var all []kernel.Route
	if !n.NoDefaultRoute && !n.Internal {
		for _, dst := range []netip.Prefix{
			netip.PrefixFrom(netip.IPv4Unspecified(), 0),
			netip.PrefixFrom(netip.IPv6Unspecified(), 0),
		} {
			if gw := gatewayTo(n, e, dst); gw.IsValid() {
				all = append(all, kernel.Route{Type: kernel.RouteUnicast, Dst: dst, Gateway: gw, Metric: n.Metric})
			}
		}
	}
	for _, r := range n.Routes {
		if hasFamily(e, r.Dst) {
			all = append(all, r)
		}
	}
	return all
}

// LastingRoutes are the routes of an endpoint that its interface does not take with it: those that
// lead nowhere, and those by another interface.
func LastingRoutes(n network.Network, e network.Endpoint) []kernel.Route {
	return slices.DeleteFunc(containerRoutes(n, e), func(r kernel.Route) bool {
		return r.Type == kernel.RouteUnicast && !r.AnyDevice
	})
}

// gatewayTo returns the gateway of the first subnet of the family of dst in which the endpoint has
// an address.
func gatewayTo(n network.Network, e network.Endpoint, dst netip.Prefix) netip.Addr {
	for _, p := range e.Addrs {
		s, ok := n.SubnetOf(p.Addr())
		if ok && s.Gateway.IsValid() && p.Addr().Is4() == dst.Addr().Is4() {
			return s.Gateway
		}
	}
	return netip.Addr{}
}

func hasFamily(e network.Endpoint, dst netip.Prefix) bool {
	for _, p := range e.Addrs {
		if p.Addr().Is4() == dst.Addr().Is4() {
			return true
		}
	}
	return false
}

func linkAddr(a netip.Addr, bits int) kernel.Addr {
	return kernel.Addr{Prefix: netip.PrefixFrom(a, bits), NoDAD: a.Is6()}
}

func portSysctls(n network.Network, port string) []kernel.Sysctl {
	s := []kernel.Sysctl{deviceSysctl("ipv4", port, "rp_filter", "2")}
	if n.HasIPv6() {
		s = append(s, deviceSysctl("ipv6", port, "accept_dad", "0"))
	}
	return s
}

// announcementSysctls make the kernel announce the container's addresses when its interface comes
// up, or its MAC is set. ARP caches and other hosts' forwarding databases then follow at once an
// address that has moved to this host.
func announcementSysctls(n network.Network, e network.Endpoint) []kernel.Sysctl {
	s := []kernel.Sysctl{deviceSysctl("ipv4", e.Interface, "arp_notify", "1")}
	if n.HasIPv6() || len(n.Subnets) == 0 {
		s = append(s, deviceSysctl("ipv6", e.Interface, "ndisc_notify", "1"))
	}
	return s
}

// containerSysctls make IPv6 addresses usable at once. Where the network gives addresses, the
// container configures no others by itself.
func containerSysctls(n network.Network, e network.Endpoint) []kernel.Sysctl {
	dev := e.Interface
	s := []kernel.Sysctl{deviceSysctl("ipv4", dev, "rp_filter", "2")}
	if len(n.Subnets) > 0 {
		s = append(s, deviceSysctl("ipv6", dev, "accept_ra", "0"), deviceSysctl("ipv6", dev, "autoconf", "0"))
	}
	if n.HasIPv6() {
		s = append(s, deviceSysctl("ipv6", dev, "accept_dad", "0"))
	}
	return s
}
