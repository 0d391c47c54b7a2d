package plan

import (
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// State is what should be in the kernel for one network on this host.
type State struct {
	GlobalSysctls []kernel.Sysctl // of the host as a whole
	Bridge        kernel.Link
	Device        kernel.Link // the KindVXLAN device, a port of Bridge
	Veths         []Veth
}

// Veth is what should be in the kernel for one container: a veth with one
// end on the bridge and the other in the container.
type Veth struct {
	Port      kernel.Link     // the host's end
	Device    string          // the network's KindVXLAN device
	Namespace string          // path of the container's network namespace
	Container kernel.Link     // the container's end
	Announce  []kernel.Sysctl // of the container's end, by which it announces its addresses
}

// Compute returns the state that n asks for on the host with VTEP v, for the
// given endpoints of this host.
func Compute(n network.Network, v network.VTEP, endpoints []network.Endpoint) State {
	s := State{
		GlobalSysctls: forwarding(n),
		Bridge:        bridge(n, v),
		Device:        device(n, v),
	}
	if Publishes(n, endpoints...) {
		s.Bridge.Sysctls = append(s.Bridge.Sysctls, RouteLocalnet(n.Identity, true))
	}
	for _, e := range endpoints {
		s.Veths = append(s.Veths, endpoint(n, v, e))
	}
	return s
}

// Names returns as much of the state as the network's identity tells, which is
// what removing it takes: names, kinds, marks and masters. Of an endpoint only the id counts, and the name that its
// user gave the host's end.
func Names(id network.Identity, endpoints []network.Endpoint) State {
	s := State{
		Bridge: kernel.Link{Name: id.Bridge.Name, Kind: kernel.KindBridge, Alias: id.Alias()},
		Device: kernel.Link{Name: id.Device.Name, Kind: kernel.KindVXLAN, Alias: id.Alias(), Master: id.Bridge.Name},
	}
	for _, e := range endpoints {
		s.Veths = append(s.Veths, Veth{Port: port(id, e)})
	}
	return s
}

// port is the host's end of a container's veth, as far as names go.
func port(id network.Identity, e network.Endpoint) kernel.Link {
	return kernel.Link{Name: id.Port(e), Kind: kernel.KindVeth, Alias: id.EndpointAlias(e), Master: id.Bridge.Name}
}

// bridge carries this host's own address of each subnet and the gateway's. The
// gateway's is the same on every host, so duplicate address detection must not look
// for it, and what this host sends must come from the other: a remote container
// would send an answer to the gateway to its own host. So in IPv4 the own address
// comes first, as the primary one, and in IPv6 the gateway's is deprecated, which
// keeps source address selection from it (RFC 6724, section 5, rule 3).
func bridge(n network.Network, v network.VTEP) kernel.Link {
	l := kernel.Link{
		Name:     n.Bridge.Name,
		AltNames: n.Bridge.Alts,
		Alias:    n.Alias(),
		Kind:     kernel.KindBridge,
		MTU:      v.MTU,
		MAC:      network.BridgeMAC(n.Tunnel.VNI, v.Local),
		Master:   n.VRF,
		Up:       true,
		Sysctls:  bridgeSysctls(n),
	}
	for _, s := range n.Subnets {
		if s.HostAddress.IsValid() {
			l.Addrs = append(l.Addrs, addr(s.HostAddress, s.Prefix.Bits()))
		}
		if s.Gateway.IsValid() {
			gateway := addr(s.Gateway, s.Prefix.Bits())
			gateway.Deprecated = s.HostAddress.Is6()
			l.Addrs = append(l.Addrs, gateway)
		}
	}
	return l
}

// device floods what the bridge has for everybody to the hosts that want it. Learning
// is on unless the user turned it off, or the agents tell each other which MAC is where.
func device(n network.Network, v network.VTEP) kernel.Link {
	t := n.Tunnel
	t.Local = v.Local
	t.Dev = v.Interface
	t.Learning = !v.StaticFDB && !n.Learning.Set || n.Learning.Value
	l := kernel.Link{
		Name:        n.Device.Name,
		AltNames:    n.Device.Alts,
		Alias:       n.Alias(),
		Kind:        kernel.KindVXLAN,
		MTU:         v.MTU,
		Master:      n.Bridge.Name,
		Up:          true,
		NoLinkLocal: true,
		Tunnel:      t,
	}
	if !t.Group.IsValid() {
		l.FDB = make([]kernel.FDB, 0, len(v.Flood))
		for _, r := range v.Flood {
			l.FDB = append(l.FDB, kernel.FDB{Dst: r})
		}
	}
	return l
}

func endpoint(n network.Network, v network.VTEP, e network.Endpoint) Veth {
	outside := port(n.Identity, e)
	outside.MTU = v.MTU
	outside.Up = true
	outside.NoLinkLocal = true
	outside.Sysctls = portSysctls(n, outside.Name)
	outside.Peer = kernel.Peer{Name: e.Interface, Namespace: e.Namespace, MAC: e.MAC, MTU: v.MTU}
	return Veth{
		Port:      outside,
		Device:    n.Device.Name,
		Namespace: e.Namespace,
		Container: kernel.Link{
			Name:   e.Interface,
			Alias:  n.Alias(),
			Kind:   kernel.KindVeth,
			MTU:    v.MTU,
			MAC:    e.MAC,
			Up:     true,
			Addrs:  containerAddrs(e),
			Routes: routes(n, e),

			Sysctls: containerSysctls(n, e),
		},
		Announce: announcements(n, e),
	}
}

func containerAddrs(e network.Endpoint) []kernel.Addr {
	var addrs []kernel.Addr
	for _, p := range e.Addrs {
		addrs = append(addrs, addr(p.Addr(), p.Bits()))
	}
	return addrs
}

// routes are the default route of each family that the container has an address
// of, through the first gateway of that family, and the network's own.
func routes(n network.Network, e network.Endpoint) []kernel.Route {
	var routes []kernel.Route
	if !n.NoDefaultRoute && !n.Internal {
		for _, any := range []netip.Prefix{
			netip.PrefixFrom(netip.IPv4Unspecified(), 0),
			netip.PrefixFrom(netip.IPv6Unspecified(), 0),
		} {
			if gw := gateway(n, e, any); gw.IsValid() {
				routes = append(routes, kernel.Route{Type: kernel.RouteUnicast, Dst: any, Gateway: gw, Metric: n.Metric})
			}
		}
	}
	for _, r := range n.Routes {
		if hasFamily(e, r.Dst) {
			routes = append(routes, r)
		}
	}
	return routes
}

// gateway returns the gateway of the first subnet of the family of dst in which
// the endpoint has an address.
func gateway(n network.Network, e network.Endpoint, dst netip.Prefix) netip.Addr {
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

func addr(a netip.Addr, bits int) kernel.Addr {
	return kernel.Addr{Prefix: netip.PrefixFrom(a, bits), NoDAD: a.Is6()}
}
