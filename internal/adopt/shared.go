package adopt

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Shared returns what must be alike on all hosts: a network without what is a host's own.
func (d Definition) Shared() Definition {
	options := maps.Clone(d.Options)
	maps.DeleteFunc(options, func(name, value string) bool { return IsHostOption(name) || value == "" })
	return Definition{Name: d.Name, Options: options, Subnets: d.Subnets, Routes: d.Routes, DNSServers: d.DNSServers,
		Internal: d.Internal, NoNames: d.NoNames, NoAddress: d.NoAddress}
}

// IsHostOption tells whether an option's value is a host's own.
func IsHostOption(name string) bool {
	_, isHosts := hostOptions[name]
	return isHosts || name == "encryption_port" // which each host tells the others
}

// KnowsOption tells whether this version knows how an option counts where hosts differ in it.
func KnowsOption(name string) bool {
	_, known := optionKinds[name]
	return known || IsHostOption(name) || slices.Contains(comparedOtherwise, name)
}

// Splits tells whether containers of hosts that differ in an option may not reach each other.
func Splits(option string) bool {
	return slices.Contains(comparedOtherwise, option) || !KnowsOption(option) || optionKinds[option].splits ||
		option == "udp_checksum" // on an IPv6 underlay, which each host may have
}

// Contradictions returns where something that is given is not as it is defined. What is not given
// contradicts nothing.
func (d Definition) Contradictions(given Definition) (all []Difference) {
	add := func(what, given, defined string) {
		if given != defined {
			all = append(all, Difference{What: what, This: given, Other: defined})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given.Options)) {
		if !IsHostOption(name) {
			add(name, given.effective(name), d.effective(name))
		}
	}
	if len(given.Subnets) > 0 {
		add("subnets", given.subnetTextBeside(d), d.subnetTextBeside(d))
	}
	if len(given.Routes) > 0 {
		add("routes", given.routeText(), d.routeText())
	}
	if len(given.DNSServers) > 0 {
		add("dns", strings.Join(given.DNSServers, ", "), strings.Join(d.DNSServers, ", "))
	}
	for _, f := range []struct {
		what           string
		given, defined bool
	}{
		{"internal", given.Internal, d.Internal},
		{"disable-dns", given.NoNames && !given.NoAddress, d.NoNames},
		{"ipam-driver none", given.NoAddress, d.NoAddress},
	} {
		if f.given && !f.defined {
			add(f.what, "true", "false")
		}
	}
	return all
}

// effective is what an option says, or what holds without it.
func (d Definition) effective(name string) string {
	value := canonical(name, strings.TrimSpace(d.Options[name]))
	standard := map[string]string{"vxlan_port": "4789", "discovery": "static", "encryption": "off"}[name]
	switch {
	case value != "":
		return value
	case standard != "":
		return standard
	}
	return optionKinds[name].standard
}

// subnetTextBeside is subnetText of masked prefixes. A gateway that is not given is as defined, and the
// first address is what Podman takes by itself.
func (d Definition) subnetTextBeside(defined Definition) string {
	masked := Definition{}
	for _, s := range d.Subnets {
		s = s.canonical()
		for _, other := range defined.Subnets {
			if other = other.canonical(); s.Gateway == "" && other.Prefix == s.Prefix {
				s.Gateway = other.Gateway
			}
		}
		masked.Subnets = append(masked.Subnets, s)
	}
	return masked.subnetText()
}

func (s Subnet) canonical() Subnet {
	p, err := netip.ParsePrefix(s.Prefix)
	if err != nil {
		return s
	}
	s.Prefix = p.Masked().String()
	if gateway, err := netip.ParseAddr(s.Gateway); err == nil && gateway == p.Masked().Addr().Next() {
		s.Gateway = ""
	}
	return s
}

// Text shows both values.
func (d Difference) Text(this, other string) string { return d.describe(this, other) }
