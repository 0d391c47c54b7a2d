package network

import (
	"net/netip"
)

// OwnAddress returns the address by which this host talks to the hosts of its cluster, of which it
// knows some. It is the one that they list, or else the one from which the host sends to them; where
// it knows none, that of the default route's interface. It is invalid if there is none at present.
func OwnAddress(host InterfaceLookup, known []netip.Addr) (netip.Addr, error) {
	own, err := host.OwnAddrs(known)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(own) > 0 {
		return own[0], nil
	}
	for _, k := range known {
		path, err := host.RouteTo(k, "", netip.Addr{})
		if err != nil {
			return netip.Addr{}, err
		}
		if path.Source.IsValid() && !path.Source.IsLoopback() {
			return path.Source, nil
		}
	}
	return defaultRouteAddress(host)
}

// defaultRouteAddress prefers IPv4, as most underlays have it.
func defaultRouteAddress(host InterfaceLookup) (netip.Addr, error) {
	for _, ipv6 := range []bool{false, true} {
		iface, err := host.DefaultRouteInterface(ipv6)
		if err != nil {
			return netip.Addr{}, err
		}
		for _, p := range iface.Addrs {
			if a := p.Addr(); a.Is6() == ipv6 && a.IsGlobalUnicast() {
				return a, nil
			}
		}
	}
	return netip.Addr{}, nil
}
