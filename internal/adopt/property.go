package adopt

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// optionKind says how an option counts where hosts differ in it.
type optionKind struct {
	// splits: containers of hosts that differ do not reach each other, or get addresses twice.
	splits bool
	// boolean options have several spellings.
	boolean bool
	// standard is the value without the option, if it is the same on all hosts.
	standard string
}

// optionKinds has the options that hosts compare, besides those of comparedOtherwise and hostOptions. What
// is not here was added by a later version, and may split.
var optionKinds = map[string]optionKind{
	"multicast_group":      {splits: true},
	"max_hosts":            {splits: true},
	"discovery_also":       {}, // hosts move one after the other
	"gbp":                  {splits: true, boolean: true, standard: "false"},
	"mtu":                  {},
	"metric":               {standard: "100"},
	"no_default_route":     {boolean: true, standard: "false"},
	"isolate":              {boolean: true},
	"firewall_integration": {standard: "none"},
	"vrf":                  {},
	"allow_host_overlap":   {boolean: true, standard: "false"},
	"address_check":        {boolean: true, standard: "false"},
	"port_security":        {boolean: true, standard: "false"},
	"fast_path":            {boolean: true, standard: "true"},
	"learning":             {boolean: true},
	"proxy":                {boolean: true, standard: "false"},
	"l2miss":               {boolean: true, standard: "false"},
	"l3miss":               {boolean: true, standard: "false"},
	"rsc":                  {boolean: true, standard: "false"},
	"ageing":               {standard: "300"},
	"fdb_limit":            {standard: "unlimited"},
	"ttl":                  {standard: "auto"},
	"tos":                  {standard: "0"},
	"df":                   {standard: "unset"},
	"udp_checksum":         {boolean: true, standard: "true"}, // splits on an IPv6 underlay
	"tx_checksum_offload":  {},
	"source_port_range":    {},
	"underlay_timeout":     {standard: "5"},
}

// comparedOtherwise are options that properties names, and encryption_port: each host tells the others its
// own.
var comparedOtherwise = []string{"vni", "vxlan_port", "discovery", "encryption", "encryption_port"}

// property is something of a network in which hosts may differ.
type property struct {
	what, value string
	splits      bool
}

// properties are always in the same order. What is a host's own is not among them.
func (d Definition) properties() []property {
	all := []property{
		{"vni", fmt.Sprint(d.VNI()), true},
		{"vxlan_port", fmt.Sprint(d.Port()), true},
		{"discovery", d.option("discovery", "static"), true},
		{"encryption", d.option("encryption", "off"), true},
		{"subnets", d.subnetText(), true},
	}
	for _, name := range slices.Sorted(maps.Keys(d.Options)) {
		_, isHosts := hostOptions[name]
		if isHosts || slices.Contains(comparedOtherwise, name) {
			continue
		}
		if name == "max_hosts" && d.IsEtcd() { // it had a list, and each host keeps its part
			continue
		}
		if value := canonical(name, d.Options[name]); value != optionKinds[name].standard {
			all = append(all, property{name, value, d.splitsBy(name)})
		}
	}
	if !d.IsGossip() && !d.IsEtcd() && !d.isMulticast() {
		all = append(all, property{"remote_ips", joinAddrs(d.Listed()), true})
	}
	return append(all,
		property{"internal", fmt.Sprint(d.Internal), false},
		property{"disable-dns", fmt.Sprint(d.NoNames), false},
		property{"routes", d.routeText(), false},
		property{"dns", strings.Join(d.DNSServers, ", "), false},
	)
}

func (d Definition) option(name, standard string) string {
	if value := d.Options[name]; value != "" {
		return value
	}
	return standard
}

// splitsBy tells whether containers of hosts that differ in an option do not reach each other. The
// kernel drops packets without a checksum only in IPv6 (RFC 6935).
func (d Definition) splitsBy(option string) bool {
	kind, known := optionKinds[option]
	return !known || kind.splits || option == "udp_checksum" && d.VTEP.Is6()
}

// canonical returns the value as create prints it.
func canonical(option, value string) string {
	if !optionKinds[option].boolean {
		return value
	}
	switch strings.ToLower(value) {
	case "true", "t", "1", "yes", "on":
		return "true"
	case "false", "f", "0", "no", "off":
		return "false"
	}
	return value
}

func (d Definition) subnetText() string {
	var all []string
	for _, s := range d.Subnets {
		text := s.Prefix
		if s.Gateway != "" {
			text += " gateway " + s.Gateway
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (d Definition) routeText() string {
	var all []string
	for _, r := range d.Routes {
		all = append(all, r.String())
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
