package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"vxlan-driver/internal/kernel"
)

// networkOptions are those that say which hosts and addresses a network has and what its containers
// may do.
var networkOptions = []option{
	numberOption("vni", 1, maxVNI, func(n *Network) *uint32 { return &n.Tunnel.VNI }),
	{
		name:    "local_ip",
		accepts: `a unicast IPv4 or IPv6 address of this host, or "auto"`,
		set: func(n *Network, value string) bool {
			if value == autoValue {
				n.LocalIP = netip.Addr{}
				return true
			}
			var ok bool
			n.LocalIP, ok = parseUnicast(value)
			return ok
		},
		get: func(n Network) string { return formatAddrOrAuto(n.LocalIP) },
	},
	{
		name:    "remote_ips",
		accepts: "unicast IPv4 or IPv6 addresses, separated by commas",
		set:     setRemotes,
		explain: explainRemotes,
		get: func(n Network) string {
			var b []string
			for _, r := range n.Remotes {
				b = append(b, r.String())
			}
			return strings.Join(b, ",")
		},
	},
	{
		name:    "physical_interface",
		accepts: `an interface of this host, or "auto"`,
		set: func(n *Network, value string) bool {
			n.PhysicalInterface = value
			if value == autoValue {
				n.PhysicalInterface = ""
			}
			return value != "" && deviceNameProblem(value, maxAltNameLen) == ""
		},
		get: func(n Network) string {
			if n.PhysicalInterface == "" {
				return autoValue
			}
			return n.PhysicalInterface
		},
	},
	{
		name:    "discovery",
		accepts: `"static", "gossip" or "etcd"`,
		set: func(n *Network, value string) bool {
			if n.Discovery = Discovery(value); value == "static" {
				n.Discovery = DiscoveryStatic
			}
			return n.Discovery == DiscoveryStatic || n.Discovery == DiscoveryGossip || n.Discovery == DiscoveryEtcd
		},
		get: func(n Network) string {
			return string(n.Discovery)
		},
	},
	{
		name:    "discovery_also",
		accepts: `"static", "gossip" or "etcd"`,
		set: func(n *Network, value string) bool {
			n.DiscoveryAlso = Discovery(value)
			return n.DiscoveryAlso == alsoStatic || n.DiscoveryAlso == DiscoveryGossip || n.DiscoveryAlso == DiscoveryEtcd
		},
		get: func(n Network) string { return string(n.DiscoveryAlso) },
	},
	kernelBoolOption("host_listed", func(n *Network) *kernel.Opt[bool] { return &n.HostListed }),
	numberOption("underlay_timeout", 0, 600, func(n *Network) *uint16 { return &n.UnderlayTimeout }),
	numberOption("vxlan_port", 1, 65535, func(n *Network) *uint16 { return &n.Tunnel.Port }),
	{
		name:    "mtu",
		accepts: fmt.Sprintf("a number of bytes from %d", minMTU4),
		set: func(n *Network, value string) bool {
			v, ok := parseNumber[uint16](value, minMTU4, 65535)
			n.MTU = int(v)
			return ok
		},
		get: func(n Network) string {
			if n.MTU == 0 {
				return ""
			}
			return strconv.Itoa(n.MTU)
		},
	},
	numberOption("metric", 0, 1<<32-1, func(n *Network) *uint32 { return &n.Metric }),
	boolOption("no_default_route", func(n *Network) *bool { return &n.NoDefaultRoute }),
	{
		name:    "isolate",
		accepts: `true, false or "strict"`,
		set: func(n *Network, value string) (ok bool) {
			n.Isolate, ok = parseIsolation(value)
			return ok
		},
		get: func(n Network) string { return n.Isolate.String() },
	},
	{
		name:    "firewall_integration",
		accepts: `"none" or "docker"`,
		set: func(n *Network, value string) bool {
			n.Integration = Integration(value)
			return n.Integration == IntegrationNone || n.Integration == IntegrationDocker
		},
		get: func(n Network) string { return string(n.Integration) },
	},
	outboundAddrOption("outbound_addr4", netip.Addr.Is4, func(n *Network) *netip.Addr { return &n.OutboundAddr4 }),
	outboundAddrOption("outbound_addr6", netip.Addr.Is6, func(n *Network) *netip.Addr { return &n.OutboundAddr6 }),
	{
		name:    "vrf",
		accepts: "the name of a VRF device of this host",
		set: func(n *Network, value string) bool {
			n.VRF = value
			return value != "" && deviceNameProblem(value, kernel.MaxNameLen) == ""
		},
		get: func(n Network) string { return n.VRF },
	},
	{
		name:    "multicast_group",
		accepts: "a multicast address, such as 239.1.1.1 or ff05::100",
		set: func(n *Network, value string) bool {
			a, err := netip.ParseAddr(value)
			n.Tunnel.Group = a
			return err == nil && a.IsMulticast() && a.Zone() == "" && !a.Is4In6()
		},
		get: func(n Network) string {
			if !n.Tunnel.Group.IsValid() {
				return ""
			}
			return n.Tunnel.Group.String()
		},
	},
	{
		name:    "max_hosts",
		accepts: "a number of hosts from 2 to 65536",
		set: func(n *Network, value string) bool {
			v, ok := parseNumber[uint32](value, 2, 65536)
			n.MaxHosts = int(v)
			return ok
		},
		get: func(n Network) string {
			if n.MaxHosts == 0 {
				return ""
			}
			return strconv.Itoa(n.MaxHosts)
		},
	},
	boolOption("allow_host_overlap", func(n *Network) *bool { return &n.AllowHostOverlap }),
	boolOption("address_check", func(n *Network) *bool { return &n.AddressCheck }),
	boolOption("port_security", func(n *Network) *bool { return &n.PortSecurity }),
	kernelBoolOption("fast_path", func(n *Network) *kernel.Opt[bool] { return &n.FastPath }),
	kernelBoolOption("learning", func(n *Network) *kernel.Opt[bool] { return &n.Learning }),
	encryptionOption,
	encryptionPortOption,
}

// setRemotes parses a list of addresses. Spaces, repeats and empty items do no harm.
func setRemotes(n *Network, value string) bool {
	n.Remotes = nil
	for item := range strings.SplitSeq(value, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		a, ok := parseUnicast(item)
		if !ok {
			return false
		}
		n.Remotes = append(n.Remotes, a)
	}
	n.Remotes = sortSet(n.Remotes)
	return true
}

// sortSet sorts addresses, and drops those that are repeated.
func sortSet(addrs []netip.Addr) []netip.Addr {
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// explainRemotes says which entries of the list are wrong, and why.
func explainRemotes(value string) string {
	var wrong []string
	position := 0
	for item := range strings.SplitSeq(value, ",") {
		item = strings.TrimSpace(item)
		position++
		if _, ok := parseUnicast(item); item != "" && !ok {
			wrong = append(wrong, fmt.Sprintf("entry %d, %q, %s", position, item, explainAddr(item)))
		}
	}
	return strings.Join(wrong, "; ")
}

// explainAddr says why s is no address that parseUnicast takes.
func explainAddr(s string) string {
	a, err := netip.ParseAddr(s)
	if err == nil {
		switch {
		case a.Zone() != "" || a.IsLinkLocalUnicast():
			return "is a link-local address, which means something else on each host"
		case a.IsLoopback():
			return "is a loopback address, which each host has itself"
		case a.IsMulticast():
			return "is a multicast address; give it as multicast_group"
		case a.Is4In6():
			return fmt.Sprintf("must be written as %s", a.Unmap())
		}
		return "is no address of a host"
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return "is a network; give a host's address without the prefix length"
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return fmt.Sprintf("has a port; give %s alone, and the port as vxlan_port", ap.Addr())
	}
	if strings.ContainsFunc(s, unicode.IsLetter) && !strings.Contains(s, ":") {
		return "is a name; names are not accepted, give the host's address"
	}
	if len(strings.Fields(s)) > 1 {
		return "has spaces; separate addresses by commas"
	}
	return "is no IPv4 or IPv6 address"
}

// parseUnicast parses an address that another host can send to. It refuses addresses with a zone,
// which mean something else on each host.
func parseUnicast(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	ok := err == nil && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() &&
		!a.IsLoopback() && !a.IsLinkLocalUnicast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return a, ok
}

// outboundAddrOption is an address of this host, of one family.
func outboundAddrOption(name string, family func(netip.Addr) bool, field func(*Network) *netip.Addr) option {
	return option{
		name:    name,
		accepts: "an address of this host that containers leave by, of the family that the option names",
		set: func(n *Network, value string) (ok bool) {
			*field(n), ok = parseUnicast(value)
			return ok && family(*field(n))
		},
		get: func(n Network) string { return formatAddr(*field(&n)) },
	}
}

func formatAddrOrAuto(a netip.Addr) string {
	if !a.IsValid() {
		return autoValue
	}
	return a.String()
}

// formatAddr returns "" for an unset address, where netip would print "invalid IP".
func formatAddr(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
