package plan

import (
	"net/netip"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// State is what should be in the kernel for one network on this host.
type State struct {
	Bridge    kernel.Link
	Device    kernel.Link // the VXLAN device, a port of Bridge
	Endpoints []Endpoint
}

// Endpoint is what should be in the kernel for one container: a veth with one
// end on the bridge and the other in the container.
type Endpoint struct {
	Port      kernel.Link // the host's end
	Namespace string      // path of the container's network namespace
	Container kernel.Link // the container's end
}

// Compute returns the state that n asks for on the host with VTEP v, for the
// given endpoints of this host.
func Compute(n network.Network, v network.VTEP, endpoints []network.Endpoint) State {
	s := State{
		Bridge: bridge(n, v),
		Device: device(n, v),
	}
	for _, e := range endpoints {
		s.Endpoints = append(s.Endpoints, endpoint(n, v, e))
	}
	return s
}

// Names returns as much of the state as the network's identity tells, which is
// what removing it takes: names, kinds, marks and masters.
func Names(id network.Identity, containerIDs []string) State {
	s := State{
		Bridge: kernel.Link{Name: id.Bridge.Name, Kind: kernel.Bridge, Alias: id.Alias()},
		Device: kernel.Link{Name: id.Device.Name, Kind: kernel.VXLAN, Alias: id.Alias(), Master: id.Bridge.Name},
	}
	for _, c := range containerIDs {
		s.Endpoints = append(s.Endpoints, Endpoint{Port: port(id, c)})
	}
	return s
}

// port is the host's end of a container's veth, as far as names go.
func port(id network.Identity, containerID string) kernel.Link {
	return kernel.Link{Name: id.PortName(containerID), Kind: kernel.Veth, Alias: id.Alias(), Master: id.Bridge.Name}
}

// bridge carries the gateway's addresses. They are the same on every host, so
// duplicate address detection must not look for them.
func bridge(n network.Network, v network.VTEP) kernel.Link {
	l := kernel.Link{
		Name:     n.Bridge.Name,
		AltNames: n.Bridge.Alts,
		Alias:    n.Alias(),
		Kind:     kernel.Bridge,
		MTU:      v.MTU,
		MAC:      network.BridgeMAC(n.Tunnel.VNI, v.Local),
		Up:       true,
		// No container tells the host which router to use.
		Sysctls: []kernel.Sysctl{{Key: "net/ipv6/conf/" + n.Bridge.Name + "/accept_ra", Value: "0"}},
	}
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() {
			l.Addrs = append(l.Addrs, addr(s.Gateway, s.Prefix.Bits()))
		}
	}
	return l
}

// device floods what the bridge has for everybody to each remote host. Learning
// is on unless the user turned it off: nobody tells this host which MAC is where.
func device(n network.Network, v network.VTEP) kernel.Link {
	t := n.Tunnel
	t.Local = v.Local
	t.Dev = v.Interface
	t.Learning = !n.Learning.Set || n.Learning.Value
	l := kernel.Link{
		Name:        n.Device.Name,
		AltNames:    n.Device.Alts,
		Alias:       n.Alias(),
		Kind:        kernel.VXLAN,
		MTU:         v.MTU,
		Master:      n.Bridge.Name,
		Up:          true,
		NoLinkLocal: true,
		Tunnel:      t,
	}
	if !t.Group.IsValid() {
		for _, r := range v.Remotes {
			l.FDB = append(l.FDB, kernel.FDB{Dst: r})
		}
	}
	return l
}

func endpoint(n network.Network, v network.VTEP, e network.Endpoint) Endpoint {
	outside := port(n.Identity, e.ContainerID)
	outside.MTU = v.MTU
	outside.Up = true
	outside.NoLinkLocal = true
	outside.Peer = kernel.Peer{Name: e.Interface, Namespace: e.Namespace, MAC: e.MAC, MTU: v.MTU}
	return Endpoint{
		Port:      outside,
		Namespace: e.Namespace,
		Container: kernel.Link{
			Name:   e.Interface,
			Alias:  n.Alias(),
			Kind:   kernel.Veth,
			MTU:    v.MTU,
			MAC:    e.MAC,
			Up:     true,
			Addrs:  containerAddrs(e),
			Routes: routes(n, e),

			Sysctls: containerSysctls(n, e),
		},
	}
}

// containerSysctls have the container announce its addresses when its interface
// comes up, so that an address that moved to this host is found here at once, by
// ARP caches and by the other hosts' forwarding databases. Where the network gives
// addresses, the container does not look for others by IPv6 autoconfiguration.
func containerSysctls(n network.Network, e network.Endpoint) []kernel.Sysctl {
	v4, v6 := "net/ipv4/conf/"+e.Interface+"/", "net/ipv6/conf/"+e.Interface+"/"
	s := []kernel.Sysctl{{Key: v4 + "arp_notify", Value: "1"}, {Key: v6 + "ndisc_notify", Value: "1"}}
	if len(n.Subnets) > 0 {
		s = append(s, kernel.Sysctl{Key: v6 + "accept_ra", Value: "0"})
	}
	return s
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
				routes = append(routes, kernel.Route{Type: kernel.Unicast, Dst: any, Gateway: gw, Metric: n.Metric})
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
