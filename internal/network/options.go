package network

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"vxlan-driver/internal/kernel"
)

const (
	// DefaultPort is the IANA port of KindVXLAN (RFC 7348, section 5).
	DefaultPort = 4789
	// DefaultMetric is the metric of default routes that netavark uses too.
	DefaultMetric = 100

	maxVNI = 1<<24 - 1
	// auto in place of a value leaves the choice to the host's own set-up.
	auto = "auto"
)

// An option is one `--opt name=value` of `podman network create`.
type option struct {
	name    string
	accepts string // what would be right, completing "must be …"
	// set parses value into n and tells whether it could.
	set func(n *Network, value string) bool
	// get prints n's value such that set reads the same again; "" if it is unset.
	get func(n Network) string
}

// options has every option in the order in which README documents them.
var options = []option{
	numberOption("vni", 1, maxVNI, func(n *Network) *uint32 { return &n.Tunnel.VNI }),
	{
		name:    "local_ip",
		accepts: `a unicast IPv4 or IPv6 address of this host, or "auto"`,
		set: func(n *Network, value string) bool {
			if value == auto {
				n.LocalIP = netip.Addr{}
				return true
			}
			var ok bool
			n.LocalIP, ok = parseUnicast(value)
			return ok
		},
		get: func(n Network) string { return addrOrAuto(n.LocalIP) },
	},
	{
		name:    "remote_ips",
		accepts: "unicast IPv4 or IPv6 addresses, separated by commas",
		set:     setRemotes,
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
			if value == auto {
				n.PhysicalInterface = ""
			}
			return value != "" && checkDeviceName(value, maxAltNameLen) == ""
		},
		get: func(n Network) string {
			if n.PhysicalInterface == "" {
				return auto
			}
			return n.PhysicalInterface
		},
	},
	{
		name:    "discovery",
		accepts: `"static" or "gossip"`,
		set: func(n *Network, value string) bool {
			n.Gossip = value == "gossip"
			return n.Gossip || value == "static"
		},
		get: func(n Network) string {
			if n.Gossip {
				return "gossip"
			}
			return ""
		},
	},
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
	outboundOption("outbound_addr4", netip.Addr.Is4, func(n *Network) *netip.Addr { return &n.OutboundAddr4 }),
	outboundOption("outbound_addr6", netip.Addr.Is6, func(n *Network) *netip.Addr { return &n.OutboundAddr6 }),
	{
		name:    "vrf",
		accepts: "the name of a VRF device of this host",
		set: func(n *Network, value string) bool {
			n.VRF = value
			return value != "" && checkDeviceName(value, kernel.MaxNameLen) == ""
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
	boolOption("address_check", func(n *Network) *bool { return &n.AddressCheck }),
	boolOption("port_security", func(n *Network) *bool { return &n.PortSecurity }),
	flagOption("fast_path", func(n *Network) *kernel.Opt[bool] { return &n.FastPath }),
	flagOption("learning", func(n *Network) *kernel.Opt[bool] { return &n.Learning }),
	flagOption("proxy", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.Proxy }),
	flagOption("l2miss", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.L2Miss }),
	flagOption("l3miss", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.L3Miss }),
	flagOption("rsc", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.RSC }),
	flagOption("gbp", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.GBP }),
	optOption("ageing", "a number of seconds from 1 to 4294967295", parseAgeing, printUint32,
		func(n *Network) *kernel.Opt[uint32] { return &n.Tunnel.Ageing }),
	optOption("fdb_limit", `a number of entries from 1 to 4294967295, or "unlimited"`, parseLimit, printLimit,
		func(n *Network) *kernel.Opt[uint32] { return &n.Tunnel.FDBLimit }),
	optOption("ttl", `a number from 1 to 255, "auto" or "inherit"`, parseTTL, printTTL,
		func(n *Network) *kernel.Opt[kernel.TTL] { return &n.Tunnel.TTL }),
	optOption("tos", `a number from 0 to 255 but not 1, decimal or 0x…, or "inherit"`, parseTOS, printTOS,
		func(n *Network) *kernel.Opt[uint8] { return &n.Tunnel.TOS }),
	optOption("df", `"unset", "set" or "inherit"`, parseDF, kernel.DF.String,
		func(n *Network) *kernel.Opt[kernel.DF] { return &n.Tunnel.DF }),
	flagOption("udp_checksum", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.UDPChecksum }),
	optOption("source_port_range", "two different ports from 1 to 65535, the lower first, such as 49152-65535",
		parsePorts, printPorts,
		func(n *Network) *kernel.Opt[kernel.PortRange] { return &n.Tunnel.SourcePorts }),
}

// requiredOptions are those without a default. remote_ips is missing here since
// multicast_group replaces it.
var requiredOptions = []string{"vni", "local_ip", "physical_interface"}

// setOptions reads the options into n, starting from the defaults.
func setOptions(n *Network, typed map[string]string, problems *Problems) {
	n.Tunnel.Port = DefaultPort
	n.Metric = DefaultMetric
	known := make(map[string]bool)
	var names []string
	for _, o := range options {
		known[o.name] = true
		names = append(names, o.name)
		value, ok := typed[o.name]
		if ok && !o.set(n, strings.TrimSpace(value)) {
			problems.Add("option "+o.name, value, "must be %s", o.accepts)
		}
	}
	for _, name := range requiredOptions {
		if _, ok := typed[name]; !ok {
			problems.Add("option "+name, "", "is required: --opt %s=VALUE", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(typed)) {
		if known[name] {
			continue
		}
		if near := nearest(name, names); near != "" {
			problems.Add("option", name, "is unknown; did you mean %q?", near)
		} else {
			problems.Add("option", name, "is unknown; the options are %s", strings.Join(names, ", "))
		}
	}
}

// Options prints the network's options in a form that reads as the same network.
func (n Network) Options() map[string]string {
	m := make(map[string]string)
	for _, o := range options {
		if v := o.get(n); v != "" {
			m[o.name] = v
		}
	}
	return m
}

// setRemotes tolerates spaces, repeats and empty items; the addresses are one family.
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
	slices.SortFunc(n.Remotes, netip.Addr.Compare)
	n.Remotes = slices.Compact(n.Remotes)
	return true
}

// parseUnicast reads an address that another host can send to. Addresses with a
// zone are refused: they mean something else on each host.
func parseUnicast(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	ok := err == nil && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() &&
		!a.IsLoopback() && !a.IsLinkLocalUnicast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return a, ok
}

func addrOrAuto(a netip.Addr) string {
	if !a.IsValid() {
		return auto
	}
	return a.String()
}

// addrOrEmpty prints an address; netip would print "invalid IP" for none.
func addrOrEmpty(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}
