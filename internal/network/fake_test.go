package network

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
)

// fakeHost is a Host made of a list of interfaces.
type fakeHost struct {
	ifaces    []kernel.Interface
	default4  string
	default6  string
	altNames  map[string]string
	lookupErr error
	used      []kernel.HostPrefix
	noVXLAN   bool
	routes    []fakeRoute           // before all others
	narrow    map[netip.Addr]string // addresses that are not of global scope, and whose they are
}

// fakeRoute is a route with one or more next hops.
type fakeRoute struct {
	to   netip.Prefix
	by   []string
	from netip.Addr // a policy: of packets with this source alone
}

// match returns the interface by which the route leads, "" for none.
func (r fakeRoute) match(dst netip.Addr, via string, from netip.Addr) string {
	switch {
	case !r.to.Contains(dst) || r.from.IsValid() && r.from != from:
		return ""
	case via == "":
		return r.by[int(dst.AsSlice()[len(dst.AsSlice())-1])%len(r.by)]
	case slices.Contains(r.by, via):
		return via
	}
	return ""
}

func (h fakeHost) Interface(name string) (kernel.Interface, error) {
	if real, ok := h.altNames[name]; ok {
		name = real
	}
	for _, i := range h.ifaces {
		if i.Name == name {
			return i, h.lookupErr
		}
	}
	return kernel.Interface{}, h.lookupErr
}

func (h fakeHost) InterfaceByAddr(addr netip.Addr) (kernel.Interface, error) {
	for _, i := range h.ifaces {
		if slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Addr() == addr }) {
			return i, h.lookupErr
		}
	}
	return h.Interface(h.narrow[addr])
}

func (h fakeHost) DefaultRouteInterface(ipv6 bool) (kernel.Interface, error) {
	if ipv6 {
		return h.Interface(h.default6)
	}
	return h.Interface(h.default4)
}

func (h fakeHost) OwnAddrs(addrs []netip.Addr) ([]netip.Addr, error) {
	var own []netip.Addr
	for _, a := range addrs {
		if i, _ := h.InterfaceByAddr(a); i.Name != "" {
			own = append(own, a)
		}
	}
	return own, h.lookupErr
}

// RouteTo knows its routes, those to the interfaces' own networks and the default routes.
func (h fakeHost) RouteTo(dst netip.Addr, via string, from netip.Addr) (kernel.Path, error) {
	if i, _ := h.InterfaceByAddr(dst); i.Name != "" {
		return kernel.Path{}, h.lookupErr
	}
	for _, r := range h.routes {
		if name := r.match(dst, via, from); name != "" {
			i, _ := h.Interface(name)
			return kernel.Path{Interface: name, Source: i.Addrs[0].Addr()}, h.lookupErr
		}
	}
	for _, i := range h.ifaces {
		for _, p := range i.Addrs {
			if i.Up && p.Contains(dst) && (via == "" || via == i.Name) {
				return kernel.Path{Interface: i.Name, Source: p.Addr()}, h.lookupErr
			}
		}
	}
	i, _ := h.DefaultRouteInterface(dst.Is6())
	for _, p := range i.Addrs {
		if p.Addr().Is6() == dst.Is6() && (via == "" || via == i.Name) {
			return kernel.Path{Interface: i.Name, Source: p.Addr()}, h.lookupErr
		}
	}
	return kernel.Path{}, h.lookupErr
}

func (h fakeHost) HostPrefixes() ([]kernel.HostPrefix, error) { return h.used, h.lookupErr }

func (h fakeHost) CheckVXLAN() error {
	if h.noVXLAN {
		return kernel.ErrNotSupported
	}
	return nil
}

func parsePrefixes(s ...string) []netip.Prefix {
	var ps []netip.Prefix
	for _, p := range s {
		ps = append(ps, netip.MustParsePrefix(p))
	}
	return ps
}

// testHost is the host of the documented example.
var testHost = fakeHost{
	ifaces: []kernel.Interface{
		{Name: "lo", MTU: 65536, Up: true},
		{Name: "eth0", MTU: 1500, Up: true, Addrs: parsePrefixes("192.168.1.10/24", "192.168.1.110/24", "fd00:1::10/64")},
		{Name: "eth1", MTU: 9000, Up: true, Addrs: parsePrefixes("198.18.0.10/24")},
		{Name: "down0", MTU: 1500, Addrs: parsePrefixes("198.19.0.10/24")},
		{Name: "small0", MTU: 600, Up: true, Addrs: parsePrefixes("198.19.1.10/24")},
	},
	default4: "eth0",
	default6: "eth0",
	narrow:   map[netip.Addr]string{netip.MustParseAddr("192.168.1.9"): "eth0"},
}

// exampleNetwork returns the documented example with options changed ("-name" removes one) and
// other keys replaced.
func exampleNetwork(options map[string]string, keys map[string]any) []byte {
	opts := map[string]string{
		"vni": "100", "local_ip": "192.168.1.10", "remote_ips": "192.168.1.11,192.168.1.12",
		"physical_interface": "eth0",
	}
	for k, v := range options {
		if k[0] == '-' {
			delete(opts, k[1:])
		} else {
			opts[k] = v
		}
	}
	m := map[string]any{
		"id": "7c7b", "name": "vxlan-network", "driver": "vxlan", "options": opts,
		"subnets": []any{map[string]string{"subnet": "10.0.0.0/24", "gateway": "10.0.0.1"}},
	}
	maps.Copy(m, keys)
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return data
}
