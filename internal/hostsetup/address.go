package hostsetup

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// addressFor returns the address by which the host talks to others: the one that the user gives, or
// the one that the agent would take. Where that is none, a host with one address has no other.
func (m member) addressFor(h Host, o InitOptions) (netip.Addr, error) {
	all, err := h.Addresses()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("list this host's addresses: %w", err)
	}
	switch {
	case o.Addr.IsValid():
		return find(all, func(a InterfaceAddress) bool { return a.Addr == o.Addr }, o.Addr.String())
	case o.Interface != "":
		return find(all, func(a InterfaceAddress) bool { return a.Interface == o.Interface }, "an address on "+o.Interface)
	case m.settings.Bind.IsValid():
		return m.settings.Bind, nil
	}
	var known []netip.Addr
	for _, s := range m.settings.Seeds {
		known = append(known, s.Addr())
	}
	if addr, err := h.OwnAddress(known); err != nil || addr.IsValid() {
		return addr, err
	}
	switch len(all) {
	case 0:
		return netip.Addr{}, errors.New(
			"this host has no address by which others could reach it; set up the network between the hosts first")
	case 1:
		return all[0].Addr, nil
	}
	return netip.Addr{}, fmt.Errorf("this host has no default route, so its address for other hosts is not clear; "+
		"give it with --address, or its interface with --interface. The host has %s", joinAddresses(all))
}

// find returns the first address that is meant by what the user gave.
func find(all []InterfaceAddress, isMeant func(InterfaceAddress) bool, given string) (netip.Addr, error) {
	if i := slices.IndexFunc(all, isMeant); i >= 0 {
		return all[i].Addr, nil
	}
	return netip.Addr{}, fmt.Errorf("this host does not have %s; it has %s", given, joinAddresses(all))
}

func joinAddresses(all []InterfaceAddress) string {
	if len(all) == 0 {
		return "no address that is up"
	}
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}
