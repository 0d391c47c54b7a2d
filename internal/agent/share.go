package agent

import (
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/store"
)

func key(l hoststate.Network) cluster.NetworkKey {
	return cluster.NetworkKey{VNI: l.Tunnel.VNI, Port: l.Tunnel.Port}
}

// tellings keeps what is told of containers, as long as it is the same: of 500 on the host
// one start changes one.
type tellings struct{ memo[store.Record, telling] }

// telling is what is told of a container of this host.
type telling struct {
	toHosts cluster.Endpoint
	odd     bool // it cannot be told to hosts
	toNames dns.Record
}

func tell(r *store.Record) telling {
	e := endpoint(r)
	return telling{e, e.Check() != nil, dns.Record{ID: r.ContainerID, Names: r.Names(), Addrs: e.Addrs}}
}

// attachments is what this host tells the others.
func attachments(locals []hoststate.Network, t *tellings) []cluster.Membership {
	var all []cluster.Membership
	for _, l := range locals {
		if len(l.Endpoints) == 0 {
			continue
		}
		a := cluster.Membership{
			Network: key(l), VTEP: l.VTEP.Local,
			HostAddrs: l.HostAddrs(),
			BridgeMAC: network.BridgeMAC(l.Tunnel.VNI, l.VTEP.Local),
			StaticFDB: true,
		}
		for _, r := range l.Endpoints {
			if pending(l.Network, r) {
				continue // claims says what it is about to get
			}
			// One odd container is left out rather than the whole host.
			told := t.of(r, tell)
			if !told.odd {
				a.Endpoints = append(a.Endpoints, told.toHosts)
			}
			a.StaticFDB = a.StaticFDB && !told.odd && !r.MAC.IsZero()
		}
		all = append(all, a)
	}
	return all
}

func endpoint(r *store.Record) cluster.Endpoint {
	e := cluster.Endpoint{ContainerID: r.ContainerID, MAC: r.MAC, Addrs: addrs(r)}
	for _, name := range r.Names() {
		if cluster.CheckName(name) == nil && len(e.Names) < cluster.MaxNames {
			e.Names = append(e.Names, name)
		}
	}
	return e
}

func addrs(r *store.Record) []netip.Addr {
	var all []netip.Addr
	for _, p := range r.Addrs {
		all = append(all, p.Addr())
	}
	return all
}

// zones is what the name server answers: the containers of each network that has
// names, on this host and on those that can be reached.
func zones(locals []hoststate.Network, know others, upstreams []netip.AddrPort, t *tellings) []dns.Zone {
	var all []dns.Zone
	for _, l := range locals {
		if !l.HasNames() {
			continue
		}
		z := dns.Zone{
			Network: l.Name, Device: l.Bridge.Name,
			Addrs: l.ResolverAddrs(), Port: l.DNSPort,
			Upstreams: upstreamsOf(l, upstreams),
		}
		for _, s := range l.Subnets {
			z.Subnets = append(z.Subnets, s.Prefix)
		}
		for _, r := range l.Endpoints {
			z.Records = append(z.Records, t.of(r, tell).toNames)
		}
		here := taken(l)
		for _, m := range members(l, know(l)) {
			if !m.Reachable {
				continue
			}
			for _, e := range m.Endpoints {
				z.Records = append(z.Records, dns.Record{Names: e.Names, Addrs: believed(l, here, e.Addrs)})
			}
		}
		all = append(all, z)
	}
	return all
}

// taken are the addresses of a network that no other host's container can have.
func taken(l hoststate.Network) map[netip.Addr]bool {
	all := make(map[netip.Addr]bool)
	for _, s := range l.Subnets {
		all[s.Gateway] = true
	}
	for _, a := range l.HostAddrs() {
		all[a] = true
	}
	for _, r := range l.Endpoints {
		for _, p := range r.Addrs {
			all[p.Addr()] = true
		}
	}
	return all
}

// believed leaves out of what another host says that a container has what it cannot have: what
// is taken, or an address outside the network, which may be anybody's in the world.
func believed(l hoststate.Network, taken map[netip.Addr]bool, all []netip.Addr) []netip.Addr {
	cannot := func(a netip.Addr) bool {
		_, inside := l.SubnetOf(a)
		return !inside || taken[a]
	}
	if !slices.ContainsFunc(all, cannot) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), cannot)
}

// upstreamsOf are the network's own name servers, or else the host's. An internal
// network has none: what is asked outside is a way out.
func upstreamsOf(l hoststate.Network, host []netip.AddrPort) []netip.AddrPort {
	if l.Internal {
		return nil
	}
	var own []netip.AddrPort
	for _, a := range l.DNSServers {
		own = append(own, netip.AddrPortFrom(a, dns.Port))
	}
	if len(own) > 0 {
		return own
	}
	return host
}

// HostName is a name that no other host has, as long as no other has the address, and
// that tells a person which host it is.
func HostName(host string, bind netip.Addr) string {
	var b strings.Builder
	for _, r := range host {
		if b.Len() < maxHostName && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			b.WriteRune(r)
		}
		if r == '.' {
			break
		}
	}
	if b.Len() > 0 {
		b.WriteByte('.')
	}
	return b.String() + strings.ReplaceAll(bind.WithZone("").String(), ":", "-")
}

// maxHostName leaves room for an IPv6 address in the 64 bytes of a name.
const maxHostName = 20
