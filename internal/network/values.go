package network

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"vxlan-driver/internal/kernel"
)

const boolAccepts = "true or false"

// numberOption is an option whose value is a decimal number from low to high.
func numberOption[T uint16 | uint32](name string, low, high uint64, field func(*Network) *T) option {
	return option{
		name:    name,
		accepts: fmt.Sprintf("a whole number from %d to %d", low, high),
		set: func(n *Network, value string) (ok bool) {
			*field(n), ok = parseNumber[T](value, low, high)
			return ok
		},
		get: func(n Network) string { return strconv.FormatUint(uint64(*field(&n)), 10) },
	}
}

// boolOption is a boolean that is false unless it is given.
func boolOption(name string, field func(*Network) *bool) option {
	return option{
		name:    name,
		accepts: boolAccepts,
		set: func(n *Network, value string) (ok bool) {
			*field(n), ok = parseBool(value)
			return ok
		},
		get: func(n Network) string { return strconv.FormatBool(*field(&n)) },
	}
}

// flagOption is a boolean that is left to the kernel unless it is given.
func flagOption(name string, field func(*Network) *kernel.Opt[bool]) option {
	return optOption(name, boolAccepts, parseBool, strconv.FormatBool, field)
}

// outboundOption is an address outside the overlay, of one family.
func outboundOption(name string, family func(netip.Addr) bool, field func(*Network) *netip.Addr) option {
	return option{
		name:    name,
		accepts: "an address of this host that containers leave by, of the family that the option names",
		set: func(n *Network, value string) (ok bool) {
			*field(n), ok = parseUnicast(value)
			return ok && family(*field(n))
		},
		get: func(n Network) string { return addrOrEmpty(*field(&n)) },
	}
}

// optOption is an option that is left to the kernel unless it is given.
func optOption[T comparable](name, accepts string, parse func(string) (T, bool), print func(T) string,
	field func(*Network) *kernel.Opt[T],
) option {
	return option{
		name:    name,
		accepts: accepts,
		set: func(n *Network, value string) bool {
			v, ok := parse(value)
			*field(n) = kernel.Some(v)
			return ok
		},
		get: func(n Network) string {
			if o := *field(&n); o.Set {
				return print(o.Value)
			}
			return ""
		},
	}
}

func parseNumber[T uint8 | uint16 | uint32](value string, low, high uint64) (T, bool) {
	v, err := strconv.ParseUint(value, 10, 64)
	return T(v), err == nil && low <= v && v <= high
}

// parseBool takes what strconv.ParseBool takes, as Podman's own options do.
func parseBool(value string) (v, ok bool) {
	v, err := strconv.ParseBool(value)
	return v, err == nil
}

// parseAgeing refuses 0, which the kernel silently takes for its default of 300
// (vxlan_config_validate in drivers/net/vxlan/vxlan_core.c).
func parseAgeing(value string) (uint32, bool) { return parseNumber[uint32](value, 1, 1<<32-1) }

func printUint32(v uint32) string { return strconv.FormatUint(uint64(v), 10) }

// parseLimit takes what `ip link` calls maxaddress; 0 is the kernel's "unlimited".
func parseLimit(value string) (uint32, bool) {
	if value == "unlimited" {
		return 0, true
	}
	return parseNumber[uint32](value, 0, 1<<32-1)
}

func printLimit(v uint32) string {
	if v == 0 {
		return "unlimited"
	}
	return printUint32(v)
}

func parseTTL(value string) (kernel.TTL, bool) {
	switch value {
	case "inherit":
		return kernel.TTL{Inherit: true}, true
	case auto:
		return kernel.TTL{}, true
	}
	v, ok := parseNumber[uint8](value, 0, 255)
	return kernel.TTL{Value: v}, ok
}

func printTTL(t kernel.TTL) string {
	switch {
	case t.Inherit:
		return "inherit"
	case t.Value == 0:
		return auto
	}
	return strconv.Itoa(int(t.Value))
}

// parseTOS refuses 1 as a number, since the kernel takes it for "inherit".
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

func printTOS(v uint8) string {
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

// parsePorts takes "49152-65535" and, as ip does, "49152 65535". One port is not a
// range to the kernel, which then uses its own (udp_flow_src_port in
// include/net/udp.h).
func parsePorts(value string) (kernel.PortRange, bool) {
	first, last, ok := strings.Cut(strings.Join(strings.Fields(value), " "), "-")
	if !ok {
		first, last, ok = strings.Cut(first, " ")
	}
	f, ok1 := parseNumber[uint16](strings.TrimSpace(first), 1, 65535)
	l, ok2 := parseNumber[uint16](strings.TrimSpace(last), 1, 65535)
	return kernel.PortRange{First: f, Last: l}, ok && ok1 && ok2 && f < l
}

func printPorts(r kernel.PortRange) string { return fmt.Sprintf("%d-%d", r.First, r.Last) }
