package network

import (
	"fmt"
	"strconv"
	"strings"

	"vxlan-driver/internal/kernel"
)

// tunnelOptions are those of the VXLAN device alone. One that is not given is left to the kernel.
var tunnelOptions = []option{
	kernelBoolOption("proxy", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.Proxy }),
	kernelBoolOption("l2miss", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.L2Miss }),
	kernelBoolOption("l3miss", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.L3Miss }),
	kernelBoolOption("rsc", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.RSC }),
	kernelBoolOption("gbp", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.GBP }),
	kernelOption("ageing", "a number of seconds from 1 to 4294967295", parseAgeing, formatUint32,
		func(n *Network) *kernel.Opt[uint32] { return &n.Tunnel.Ageing }),
	kernelOption("fdb_limit", `a number of entries from 1 to 4294967295, or "unlimited"`, parseLimit, formatLimit,
		func(n *Network) *kernel.Opt[uint32] { return &n.Tunnel.FDBLimit }),
	kernelOption("ttl", `a number from 1 to 255, "auto" or "inherit"`, parseTTL, formatTTL,
		func(n *Network) *kernel.Opt[kernel.TTL] { return &n.Tunnel.TTL }),
	kernelOption("tos", `a number from 0 to 255 but not 1, decimal or 0x…, or "inherit"`, parseTOS, formatTOS,
		func(n *Network) *kernel.Opt[uint8] { return &n.Tunnel.TOS }),
	kernelOption("df", `"unset", "set" or "inherit"`, parseDF, kernel.DF.String,
		func(n *Network) *kernel.Opt[kernel.DF] { return &n.Tunnel.DF }),
	kernelBoolOption("udp_checksum", func(n *Network) *kernel.Opt[bool] { return &n.Tunnel.UDPChecksum }),
	txChecksumOption,
	kernelOption("source_port_range", "two different ports from 1 to 65535, the lower first, such as 49152-65535",
		parsePortRange, formatPortRange,
		func(n *Network) *kernel.Opt[kernel.PortRange] { return &n.Tunnel.SourcePorts }),
}

// txChecksumOption has the words of ethtool, and one that leaves the choice to the kernel.
var txChecksumOption = option{
	name:    "tx_checksum_offload",
	accepts: `"on", "off" or "auto"`,
	set: func(n *Network, value string) (ok bool) {
		if value == autoValue {
			n.TXChecksum = kernel.Opt[bool]{}
			return true
		}
		v, ok := parseBool(value)
		n.TXChecksum = kernel.Some(v)
		return ok
	},
	get: func(n Network) string {
		switch {
		case !n.TXChecksum.Set:
			return ""
		case n.TXChecksum.Value:
			return "on"
		}
		return "off"
	},
}

// parseAgeing refuses 0, which the kernel silently takes for its default of 300
// (vxlan_config_validate in drivers/net/vxlan/vxlan_core.c).
func parseAgeing(value string) (uint32, bool) { return parseNumber[uint32](value, 1, 1<<32-1) }

func formatUint32(v uint32) string { return strconv.FormatUint(uint64(v), 10) }

// parseLimit parses what `ip link` calls maxaddress. The kernel's 0 is written "unlimited":
// somebody who types 0 may mean none.
func parseLimit(value string) (uint32, bool) {
	if value == "unlimited" {
		return 0, true
	}
	return parseNumber[uint32](value, 1, 1<<32-1)
}

func formatLimit(v uint32) string {
	if v == 0 {
		return "unlimited"
	}
	return formatUint32(v)
}

func parseTTL(value string) (kernel.TTL, bool) {
	switch value {
	case "inherit":
		return kernel.TTL{Inherit: true}, true
	case autoValue:
		return kernel.TTL{}, true
	}
	v, ok := parseNumber[uint8](value, 1, 255) // the kernel's 0 is "auto"
	return kernel.TTL{Value: v}, ok
}

func formatTTL(t kernel.TTL) string {
	switch {
	case t.Inherit:
		return "inherit"
	case t.Value == 0:
		return autoValue
	}
	return strconv.Itoa(int(t.Value))
}

// parseTOS refuses the number 1, which the kernel takes for "inherit".
func parseTOS(value string) (uint8, bool) {
	if value == "inherit" {
		return kernel.TOSInherit, true
	}
	base := 10
	if hex, ok := strings.CutPrefix(value, "0x"); ok {
		value, base = hex, 16
	}
	v, err := strconv.ParseUint(value, base, 8)
	return uint8(v), err == nil && v != kernel.TOSInherit
}

func formatTOS(v uint8) string {
	if v == kernel.TOSInherit {
		return "inherit"
	}
	return fmt.Sprintf("0x%x", v)
}

func parseDF(value string) (kernel.DF, bool) {
	for _, df := range []kernel.DF{kernel.DFUnset, kernel.DFSet, kernel.DFInherit} {
		if df.String() == value {
			return df, true
		}
	}
	return 0, false
}

// parsePortRange parses "49152-65535" and, as ip does, "49152 65535". It refuses a range of one
// port, for which the kernel would use its own range (udp_flow_src_port in include/net/udp.h).
func parsePortRange(value string) (kernel.PortRange, bool) {
	first, last, ok := strings.Cut(strings.Join(strings.Fields(value), " "), "-")
	if !ok {
		first, last, ok = strings.Cut(first, " ")
	}
	f, ok1 := parseNumber[uint16](strings.TrimSpace(first), 1, 65535)
	l, ok2 := parseNumber[uint16](strings.TrimSpace(last), 1, 65535)
	return kernel.PortRange{First: f, Last: l}, ok && ok1 && ok2 && f < l
}

func formatPortRange(r kernel.PortRange) string { return fmt.Sprintf("%d-%d", r.First, r.Last) }
