package membership

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/network"
)

// Zones returns what the name server answers for the networks that have names: their containers on
// this host and on the hosts that can be reached.
func Zones(networks []Network, rosterOf func(Network) *Roster, hostUpstreams []netip.AddrPort) []dns.Zone {
	var zones []dns.Zone
	for _, n := range networks {
		if n.HasNames() {
			zones = append(zones, zoneOf(n, rosterOf(n), hostUpstreams))
		}
	}
	return zones
}

func zoneOf(n Network, r *Roster, hostUpstreams []netip.AddrPort) dns.Zone {
	z := dns.Zone{
		Network: n.Name, Device: n.Bridge.Name,
		Addrs: n.ResolverAddrs(), Port: n.DNSPort,
		Upstreams: upstreamsOf(n, hostUpstreams), Internal: n.Internal,
	}
	for _, subnet := range n.Subnets {
		z.Subnets = append(z.Subnets, subnet.Prefix)
	}
	z.Records = make([]dns.Record, 0, len(n.Endpoints)+1) // it may get one that was just added
	for _, e := range n.Endpoints {
		z.Records = append(z.Records, r.localRecord(e))
	}
	z.Remote = r.Names()
	return z
}

// LocalRecord is what the name server answers for a container of this host.
func LocalRecord(e *network.Endpoint) dns.Record {
	return dns.Record{ID: e.ContainerID, Names: e.Names(), Addrs: AddrsOf(e)}
}

// localAddrs are the addresses of a network that no other host's container can have.
func localAddrs(n Network) map[netip.Addr]bool {
	local := make(map[netip.Addr]bool)
	for _, subnet := range n.Subnets {
		local[subnet.Gateway] = true
	}
	for _, a := range n.HostAddrs() {
		local[a] = true
	}
	for _, e := range n.Endpoints {
		for _, p := range e.Addrs {
			local[p.Addr()] = true
		}
	}
	return local
}

// credibleAddrs drops the addresses that another host's container cannot have: those in use here,
// and those outside the network, which may be anybody's on the Internet.
func credibleAddrs(n Network, isLocal func(netip.Addr) bool, addrs []netip.Addr) []netip.Addr {
	impossible := func(a netip.Addr) bool {
		_, inside := n.SubnetOf(a)
		return !inside || isLocal(a)
	}
	if !slices.ContainsFunc(addrs, impossible) {
		return addrs
	}
	return slices.DeleteFunc(slices.Clone(addrs), impossible)
}

// upstreamsOf are the network's own name servers, or else the host's. An internal network has none:
// a query that is passed on would be a way out.
func upstreamsOf(n Network, hostUpstreams []netip.AddrPort) []netip.AddrPort {
	if n.Internal {
		return nil
	}
	var own []netip.AddrPort
	for _, a := range n.DNSServers {
		own = append(own, netip.AddrPortFrom(a, dns.Port))
	}
	if len(own) > 0 {
		return own
	}
	return hostUpstreams
}
