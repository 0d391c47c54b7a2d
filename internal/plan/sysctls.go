package plan

import (
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// The parameters are those that netavark's bridge driver sets, so that a container
// finds the same on both (Documentation/networking/ip-sysctl.rst says what each does).

// deviceSysctl is the parameter of a device; family is ipv4 or ipv6.
func deviceSysctl(family, device, name, value string) kernel.Sysctl {
	return kernel.Sysctl{Key: "net/" + family + "/conf/" + device + "/" + name, Value: value}
}

// globalSysctls let packets leave the overlay. An internal network's containers are kept in by
// the firewall, since its bridge forwards as soon as somebody turns forwarding on for all.
func globalSysctls(n network.Network) []kernel.Sysctl {
	if n.Internal || len(n.Subnets) == 0 {
		return nil
	}
	s := []kernel.Sysctl{{Key: "net/ipv4/ip_forward", Value: "1"}}
	if n.HasIPv6() {
		s = append(s, deviceSysctl("ipv6", "all", "forwarding", "1"))
	}
	return s
}

// BridgeSysctls let packets arrive by another interface than their answers leave by
// (rp_filter 2, RFC 3704 loose mode), as those of a container on two networks do. Router
// advertisements from containers are ignored.
func BridgeSysctls(n network.Network) []kernel.Sysctl {
	b := n.Bridge.Name
	s := []kernel.Sysctl{deviceSysctl("ipv6", b, "accept_ra", "0"), deviceSysctl("ipv4", b, "rp_filter", "2")}
	if n.HasIPv6() {
		s = append(s, deviceSysctl("ipv6", b, "accept_dad", "0"))
	}
	return s
}

// routeLocalnet lets packets from 127.0.0.1 leave by the network's bridge. So published ports are
// reached on that address too.
func routeLocalnet(id network.Identity, on bool) kernel.Sysctl {
	value := "0"
	if on {
		value = "1"
	}
	return deviceSysctl("ipv4", id.Bridge.Name, "route_localnet", value)
}

// publishesPorts tells whether an endpoint publishes any on the network.
func publishesPorts(n network.Network, e network.Endpoint) bool {
	return len(e.Ports) > 0 && !n.Internal
}

func portSysctls(n network.Network, port string) []kernel.Sysctl {
	s := []kernel.Sysctl{deviceSysctl("ipv4", port, "rp_filter", "2")}
	if n.HasIPv6() {
		s = append(s, deviceSysctl("ipv6", port, "accept_dad", "0"))
	}
	return s
}

// announcementSysctls have the container announce its addresses when its interface
// comes up, or its MAC is set. So ARP caches and other hosts' forwarding databases follow an
// address that has moved to this host at once.
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
