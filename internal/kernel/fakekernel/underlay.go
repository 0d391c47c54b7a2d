package fakekernel

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
)

// Interface implements network.InterfaceLookup.
func (ns linkView) Interface(name string) (kernel.Interface, error) {
	return ns.underlay(func(l *link) bool { return l == ns.find(name) })
}

// InterfaceByAddr implements network.InterfaceLookup.
func (ns linkView) InterfaceByAddr(addr netip.Addr) (kernel.Interface, error) {
	return ns.underlay(func(l *link) bool { return l.has(addr) })
}

// OwnAddrs implements network.InterfaceLookup.
func (ns linkView) OwnAddrs(addrs []netip.Addr) ([]netip.Addr, error) {
	var own []netip.Addr
	for _, a := range addrs {
		if slices.ContainsFunc(ns.links, func(l *link) bool { return l.has(a) }) {
			own = append(own, a)
		}
	}
	return own, ns.kernel.call()
}

func (l *link) has(addr netip.Addr) bool {
	return slices.ContainsFunc(l.Addrs, func(a kernel.Addr) bool { return a.Prefix.Addr() == addr })
}

// DefaultRouteInterface implements network.InterfaceLookup.
func (ns linkView) DefaultRouteInterface(ipv6 bool) (kernel.Interface, error) {
	return ns.underlay(func(l *link) bool {
		return slices.ContainsFunc(l.Routes, func(r kernel.Route) bool {
			return r.Dst.Bits() == 0 && r.Dst.Addr().Is6() == ipv6
		})
	})
}

// RouteTo implements network.InterfaceLookup: by the longest prefix, of links that are up. There
// are no routing policies.
func (ns linkView) RouteTo(dst netip.Addr, via string, _ netip.Addr) (kernel.Path, error) {
	var best kernel.Path
	longest := -1
	for _, l := range ns.links {
		if !l.Up || via != "" && l != ns.find(via) {
			continue
		}
		path := kernel.Path{Interface: l.Name}
		for _, a := range l.Addrs {
			if a.Prefix.Addr() == dst {
				return kernel.Path{}, ns.kernel.call()
			}
			if !path.Source.IsValid() && a.Prefix.Addr().Is6() == dst.Is6() {
				path.Source = a.Prefix.Addr()
			}
		}
		for _, p := range l.reachable() {
			if p.Contains(dst) && p.Bits() > longest {
				best, longest = path, p.Bits()
			}
		}
	}
	return best, ns.kernel.call()
}

// reachable returns the prefixes to which routes lead by the link.
func (l *link) reachable() []netip.Prefix {
	var all []netip.Prefix
	for _, a := range l.Addrs {
		all = append(all, a.Prefix.Masked())
	}
	for _, r := range l.Routes {
		all = append(all, r.Dst)
	}
	return all
}

// HostPrefixes implements network.InterfaceLookup.
func (ns linkView) HostPrefixes() ([]kernel.HostPrefix, error) {
	var all []kernel.HostPrefix
	for _, l := range ns.links {
		for _, a := range l.Addrs {
			all = append(all, kernel.HostPrefix{Prefix: a.Prefix.Masked(), Interface: l.Name, Use: kernel.UseAddress})
		}
		for _, r := range l.Routes {
			if r.Dst.Bits() > 0 {
				all = append(all, kernel.HostPrefix{Prefix: r.Dst, Interface: l.Name, Use: kernel.UseRoute})
			}
		}
	}
	return all, ns.kernel.call()
}

// AdvertisedInterfaces implements reconcile.Namespace.
func (ns *Namespace) AdvertisedInterfaces() ([]string, error) { return ns.Advertised, ns.kernel.call() }

// ForeignFilters implements hoststate.Foreign.
func (ns *Namespace) ForeignFilters() ([]kernel.FilterTable, error) { return ns.Filters, ns.FiltersErr }

// Index implements hoststate.Foreign: links are numbered as they were made.
func (ns linkView) Index(name string) (int, error) {
	i := slices.IndexFunc(ns.links, func(l *link) bool { return l.Name == name })
	if i < 0 {
		return 0, kernel.ErrNotFound
	}
	return i + 1, nil
}

// AcceptedInDocker implements hoststate.Docker.
func (ns *Namespace) AcceptedInDocker() (map[string]bool, error) {
	complete := make(map[string]bool)
	for _, bridge := range ns.DockerAccepts {
		complete[bridge] = true
	}
	return complete, nil
}

// AcceptInDocker implements hoststate.Docker.
func (ns *Namespace) AcceptInDocker(bridge string) error {
	ns.DockerAccepts = append(ns.DockerAccepts, bridge)
	return nil
}

// ForgetInDocker implements hoststate.Docker.
func (ns *Namespace) ForgetInDocker(bridge string) error {
	ns.DockerAccepts = slices.DeleteFunc(ns.DockerAccepts, func(b string) bool { return b == bridge })
	return nil
}

// CheckVXLAN implements network.InterfaceLookup.
func (ns *Namespace) CheckVXLAN() error {
	if ns.NoVXLAN {
		return kernel.ErrNotSupported
	}
	return ns.kernel.call()
}

func (ns linkView) underlay(match func(*link) bool) (kernel.Interface, error) {
	if err := ns.kernel.call(); err != nil {
		return kernel.Interface{}, err
	}
	i := slices.IndexFunc(ns.links, match)
	if i < 0 {
		return kernel.Interface{}, nil
	}
	l := ns.links[i]
	iface := kernel.Interface{Name: l.Name, Kind: l.Kind, MTU: l.MTU, Up: l.Up, Loopback: l.Name == "lo"}
	for _, a := range l.Addrs {
		iface.Addrs = append(iface.Addrs, a.Prefix)
	}
	return iface, nil
}
