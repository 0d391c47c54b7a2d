package plan

import (
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// networkDevices returns the network's bridge and VXLAN device. Published ports take one parameter
// more.
func networkDevices(n PlacedNetwork, publishes bool) *Devices {
	d := &Devices{GlobalSysctls: globalSysctls(n.Network), Bridge: bridgeLink(n.Network, n.VTEP),
		VXLAN: vxlanLink(n.Network, n.VTEP)}
	if publishes {
		d.Bridge.Sysctls = append(d.Bridge.Sysctls, routeLocalnet(n.Identity, true))
	}
	return d
}

// deviceNames returns the devices with what the network's identity tells: names, kinds, aliases and
// the master. That is enough to remove them.
func deviceNames(id network.Identity) *Devices {
	return &Devices{
		Bridge:    kernel.Link{Name: id.Bridge.Name, Kind: kernel.KindBridge, Alias: id.Alias()},
		VXLAN:     kernel.Link{Name: id.Device.Name, Kind: kernel.KindVXLAN, Alias: id.Alias(), Master: id.Bridge.Name},
		WireGuard: []string{id.WireGuard[0].Name, id.WireGuard[1].Name},
	}
}

// bridgeLink has this host's own address of each subnet, and the gateway's. The gateway's is the
// same on every host, so duplicate address detection must not look for it. What this host sends
// must come from its own address: a remote container would answer the gateway on its own host. So
// in IPv4 the own address comes first, as the primary one. In IPv6 the gateway's is deprecated,
// which keeps source address selection from it (RFC 6724, section 5, rule 3).
func bridgeLink(n network.Network, v network.VTEP) kernel.Link {
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
			l.Addrs = append(l.Addrs, linkAddr(s.HostAddress, s.Prefix.Bits()))
		}
		if s.Gateway.IsValid() {
			gateway := linkAddr(s.Gateway, s.Prefix.Bits())
			gateway.Deprecated = s.HostAddress.Is6()
			l.Addrs = append(l.Addrs, gateway)
		}
	}
	return l
}

// vxlanLink floods broadcasts to the hosts that have a container. Learning is on unless the user
// turned it off, or the agents tell each other which MAC is where. An encrypted network never learns:
// a learned entry leads by the route to the host, in plaintext.
func vxlanLink(n network.Network, v network.VTEP) kernel.Link {
	t := n.Tunnel
	t.Local = v.Local
	t.Dev = v.Interface
	t.Learning = !n.Encrypts() && (!v.StaticFDB && !n.Learning.Set || n.Learning.Value)
	l := kernel.Link{
		Name:        n.Device.Name,
		AltNames:    n.Device.Alts,
		Alias:       n.Alias(),
		Kind:        kernel.KindVXLAN,
		MTU:         v.MTU,
		MAC:         network.DeviceMAC(n.Tunnel.VNI, v.Local),
		Master:      n.Bridge.Name,
		Up:          true,
		NoLinkLocal: true,
		Tunnel:      t,
		TXChecksum:  n.TXChecksum,
	}
	l.FDB = FloodEntries(n, v)
	return l
}

// The parameters are those that netavark's bridge driver sets, so that a container finds the same
// on both (Documentation/networking/ip-sysctl.rst says what each does).

// deviceSysctl is the parameter of a device; family is ipv4 or ipv6.
func deviceSysctl(family, device, name, value string) kernel.Sysctl {
	return kernel.Sysctl{Key: "net/" + family + "/conf/" + device + "/" + name, Value: value}
}

// globalSysctls let packets leave the overlay. An internal network's containers are kept in by the
// firewall, since its bridge forwards as soon as somebody turns forwarding on for all.
func globalSysctls(n network.Network) []kernel.Sysctl {
	if !forwardsPackets(n) {
		return nil
	}
	s := []kernel.Sysctl{{Key: "net/ipv4/ip_forward", Value: "1"}}
	if n.HasIPv6() {
		s = append(s, deviceSysctl("ipv6", "all", "forwarding", "1"))
	}
	return s
}

// forwardsPackets tells whether the host is to forward packets of the network.
func forwardsPackets(n network.Network) bool { return !n.Internal && len(n.Subnets) > 0 }

// bridgeSysctls let packets arrive on another interface than the one their answers leave by
// (rp_filter 2, RFC 3704 loose mode). A container on two networks needs that. Router advertisements
// from containers are ignored. The bridge forwards even where new devices do not by default; IPv6
// has one switch for the whole host.
func bridgeSysctls(n network.Network) []kernel.Sysctl {
	b := n.Bridge.Name
	s := []kernel.Sysctl{deviceSysctl("ipv6", b, "accept_ra", "0"), deviceSysctl("ipv4", b, "rp_filter", "2")}
	if forwardsPackets(n) {
		s = append(s, deviceSysctl("ipv4", b, "forwarding", "1"))
	}
	if n.HasIPv6() {
		s = append(s, deviceSysctl("ipv6", b, "accept_dad", "0"))
	}
	return s
}

// KeptSysctls are the parameters that a network needs while it has a container, whoever sets all of
// the host's anew. Those that only some containers need are left out.
func KeptSysctls(n network.Network) []kernel.Sysctl {
	return slices.Concat(globalSysctls(n), bridgeSysctls(n))
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
