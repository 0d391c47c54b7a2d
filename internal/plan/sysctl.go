package plan

import (
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// The parameters are those that netavark's bridge driver sets, so that a container
// finds the same on both (Documentation/networking/ip-sysctl.rst says what each does).

// of is the parameter of a device; family is ipv4 or ipv6.
func of(family, device, name, value string) kernel.Sysctl {
	return kernel.Sysctl{Key: "net/" + family + "/conf/" + device + "/" + name, Value: value}
}

// forwarding is what the way out takes. An internal network's containers are kept in by
// the firewall, since its bridge forwards as soon as somebody turns forwarding on for all.
func forwarding(n network.Network) []kernel.Sysctl {
	if n.Internal || len(n.Subnets) == 0 {
		return nil
	}
	s := []kernel.Sysctl{{Key: "net/ipv4/ip_forward", Value: "1"}}
	if n.HasIPv6() {
		s = append(s, of("ipv6", "all", "forwarding", "1"))
	}
	return s
}

// bridgeSysctls let an answer leave by another way than the question came
// (rp_filter 2, RFC 3704 loose mode), as a container on two networks makes it. No
// container tells the host which router to use.
func bridgeSysctls(n network.Network) []kernel.Sysctl {
	b := n.Bridge.Name
	s := []kernel.Sysctl{of("ipv6", b, "accept_ra", "0"), of("ipv4", b, "rp_filter", "2")}
	if n.HasIPv6() {
		s = append(s, of("ipv6", b, "accept_dad", "0"))
	}
	return s
}

// RouteLocalnet lets what comes from 127.0.0.1 leave by the network's bridge, which
// published ports need to be reached there.
func RouteLocalnet(id network.Identity, on bool) kernel.Sysctl {
	value := "0"
	if on {
		value = "1"
	}
	return of("ipv4", id.Bridge.Name, "route_localnet", value)
}

// Publishes tells whether any of the endpoints publishes a port.
func Publishes(n network.Network, endpoints ...network.Endpoint) bool {
	for _, e := range endpoints {
		if len(e.Ports) > 0 && !n.Internal {
			return true
		}
	}
	return false
}

func portSysctls(n network.Network, port string) []kernel.Sysctl {
	s := []kernel.Sysctl{of("ipv4", port, "rp_filter", "2")}
	if n.HasIPv6() {
		s = append(s, of("ipv6", port, "accept_dad", "0"))
	}
	return s
}

// announcements have the container announce its addresses when its interface
// comes up, or its MAC is set, so that an address that moved to this host is found here at once, by
// ARP caches and by the other hosts' forwarding databases.
func announcements(n network.Network, e network.Endpoint) []kernel.Sysctl {
	s := []kernel.Sysctl{of("ipv4", e.Interface, "arp_notify", "1")}
	if n.HasIPv6() || len(n.Subnets) == 0 {
		s = append(s, of("ipv6", e.Interface, "ndisc_notify", "1"))
	}
	return s
}

// containerSysctls have IPv6 addresses work at once, and where
// the network gives addresses, the container does not look for others by itself.
func containerSysctls(n network.Network, e network.Endpoint) []kernel.Sysctl {
	dev := e.Interface
	s := []kernel.Sysctl{of("ipv4", dev, "rp_filter", "2")}
	if len(n.Subnets) > 0 {
		s = append(s, of("ipv6", dev, "accept_ra", "0"), of("ipv6", dev, "autoconf", "0"))
	}
	if n.HasIPv6() {
		s = append(s, of("ipv6", dev, "accept_dad", "0"))
	}
	return s
}
