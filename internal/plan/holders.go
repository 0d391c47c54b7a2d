package plan

import (
	"maps"
	"net/netip"
	"slices"
)

// Holders returns the hosts, by their VTEPs, that have addresses of a network. They are those to which
// forwarding entries lead: whoever is believed there is believed here. An invalid VTEP: no other host has
// the address. Without addresses it returns those of all remotes.
func Holders(n HostNetwork, k Known, addrs []netip.Addr) map[netip.Addr]netip.Addr {
	k.Local = endpointsOf(n)
	rule := newForwardingRule(n.Network, n.VTEP, k)
	if addrs == nil {
		addrs = slices.Collect(maps.Keys(k.Remotes.byAddr))
	}
	holders := make(map[netip.Addr]netip.Addr, len(addrs))
	for _, a := range addrs {
		holders[a] = netip.Addr{}
		if mac, ok := rule.macOf(a); ok {
			holders[a], _ = rule.vtepOf(mac)
		}
	}
	return holders
}
