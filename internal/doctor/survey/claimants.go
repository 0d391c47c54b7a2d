package survey

import (
	"net/netip"

	"vxlan-driver/internal/doctor"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// intruders returns the link that has a name and is not the network's. One without an alias may be
// the network's: it is taken for that by its kind, as reconcile does.
func (c *collector) intruders(name string, kind kernel.Kind, alias string) []kernel.Link {
	l, err := c.ns.Link(name, 0)
	if err != nil || l.Kind == kind && (l.Alias == alias || l.Alias == "") {
		return nil
	}
	return []kernel.Link{l}
}

// gatewayClaimants returns who else answers on a network's bridge for an address of this host's, and
// behind which port.
func (c *collector) gatewayClaimants(n hoststate.Network) []doctor.Claimant {
	own := kernel.ProbeSender{MAC: network.BridgeMAC(n.Tunnel.VNI, n.VTEP.Local)}
	all := c.claimants(n.Bridge.Name, own, ownAddrs(n))
	if len(all) == 0 {
		return nil
	}
	var entries []struct{ Mac, Ifname string }
	_ = c.readJSON(&entries, "bridge", "-j", "fdb", "show", "br", n.Bridge.Name) // then it is not known
	for i := range all {
		for _, e := range entries {
			if e.Mac == all[i].MAC.String() && e.Ifname != n.Bridge.Name {
				all[i].Port = e.Ifname
			}
		}
	}
	return all
}

// ownAddrs are the addresses that only this host's bridge should answer for.
func ownAddrs(n hoststate.Network) (addrs []netip.Addr) {
	for _, s := range n.Subnets {
		if s.Gateway.IsValid() {
			addrs = append(addrs, s.Gateway)
		}
	}
	return append(addrs, n.HostAddrs()...)
}

// claimants returns who else answers for addresses on a link. Links without ARP have nobody.
func (c *collector) claimants(link string, from kernel.ProbeSender, addrs []netip.Addr) (all []doctor.Claimant) {
	have, err := c.ns.Link(link, 0)
	if err != nil || !have.Up || len(addrs) == 0 {
		return nil // see the checks of devices
	}
	if from.MAC.IsZero() {
		from.MAC = have.MAC
	}
	answers, err := c.ns.ProbeAddresses(link, from, addrs)
	if err != nil {
		return nil
	}
	for _, a := range answers {
		if a.MAC != from.MAC && a.MAC != have.MAC {
			all = append(all, doctor.Claimant{Addr: a.Addr, MAC: a.MAC, Link: link})
		}
	}
	return all
}
