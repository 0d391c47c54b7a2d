package inventory

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/ipam"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// Known is what is known of a network on a host.
type Known struct {
	Host    string // this one, as people know it
	Network membership.Network
	Others  cluster.Snapshot // all other hosts, members or not
	// Claims are addresses that containers of this host are about to get, by container.
	Claims map[string][]netip.Addr

	roster *membership.Roster // of the members
}

// Membership is a network of the store as package membership sees it.
func Membership(n hoststate.Network) membership.Network {
	m := membership.Network{Network: n.Network, VTEP: n.VTEP, Endpoints: make([]*network.Endpoint, 0, len(n.Endpoints))}
	for _, r := range n.Endpoints {
		m.Endpoints = append(m.Endpoints, &r.Endpoint)
	}
	return m
}

// WithoutAgent is what the store of a host says of its networks: nothing of other hosts.
func WithoutAgent(host string, networks []hoststate.Network) agentapi.Inventory {
	all := agentapi.Inventory{Networks: []agentapi.NetworkInventory{}, Elsewhere: []agentapi.NetworkElsewhere{}}
	for _, local := range networks {
		n := Membership(local)
		described := Describe(Known{Host: host, Network: n})
		described.Names = []agentapi.NameInventory{} // nobody answers them
		all.Networks = append(all.Networks, described)
	}
	slices.SortFunc(all.Networks, compareNames)
	return all
}

func compareNames(a, b agentapi.NetworkInventory) int { return strings.Compare(a.Name, b.Name) }

// Describe returns all that is known of a network.
func Describe(k Known) agentapi.NetworkInventory {
	n := k.Network
	k.roster = membership.NewRoster(n, k.Others)
	return agentapi.NetworkInventory{
		ID: n.ID, Name: n.Name, VNI: n.Tunnel.VNI, Port: n.Tunnel.Port, Discovery: discoveryOf(n),
		VTEP: n.VTEP.Local, Interface: n.VTEP.Interface, MTU: n.VTEP.MTU, UnderlayMTU: n.VTEP.UnderlayMTU,
		Bridge: n.Bridge.Name, Device: n.Device.Name, Options: n.Options(),
		Subnets: k.subnets(), Hosts: k.hosts(), Endpoints: k.endpoints(), Names: k.names(),
		Conflicts: k.conflicts(), Differences: k.differences(),
	}
}

func discoveryOf(n membership.Network) string {
	switch {
	case n.Gossip:
		return "gossip"
	case n.Tunnel.Group.IsValid():
		return "multicast"
	}
	return "static"
}

func (k Known) subnets() []agentapi.SubnetInventory {
	all := []agentapi.SubnetInventory{}
	for _, s := range k.Network.Subnets {
		lease := ipam.Range(s)
		described := agentapi.SubnetInventory{
			Prefix: s.Prefix, Gateway: s.Gateway, First: lease.First, Last: lease.Last, HostAddress: s.HostAddress,
			Unusable: unusable(s),
		}
		for _, slice := range ipam.Slices(k.Network.Network, k.Network.VTEP, s) {
			described.Slices = append(described.Slices, agentapi.SliceInventory{
				Host: slice.Host, First: slice.Lease.First, Last: slice.Lease.Last, HostAddress: slice.HostAddress,
			})
		}
		all = append(all, described)
	}
	return all
}

// unusable are the addresses of a subnet that nobody may have.
func unusable(s network.Subnet) map[netip.Addr]string {
	all := make(map[netip.Addr]string)
	whole := s
	whole.Lease = network.Range{}
	for _, a := range []netip.Addr{s.Gateway, s.Prefix.Addr(), ipam.Range(whole).Last} {
		if why := ipam.Unusable(s, a); a.IsValid() && why != "" {
			all[a] = why
		}
	}
	return all
}

func (k Known) hosts() []agentapi.MemberInventory {
	n := k.Network
	all := []agentapi.MemberInventory{{
		Name: k.Host, Self: true, VTEP: n.VTEP.Local, Reachable: true, MTU: n.VTEP.MTU, HostAddrs: n.HostAddrs(),
		Containers: len(n.Endpoints),
	}}
	for _, m := range k.roster.Members() {
		all = append(all, agentapi.MemberInventory{
			Name: m.Host, VTEP: m.VTEP, Reachable: m.Reachable, MTU: int(m.View.MTU), HostAddrs: m.HostAddrs,
			Containers: len(m.Endpoints),
		})
	}
	return all
}

func (k Known) endpoints() []agentapi.EndpointInventory {
	all := []agentapi.EndpointInventory{}
	for _, e := range k.Network.Endpoints {
		described := agentapi.EndpointInventory{
			Container: membership.ContainerLabel(e.Names(), e.ContainerID), ID: e.ContainerID, Names: e.Names(),
			Addrs: membership.AddrsOf(e), Host: k.Host, State: agentapi.EndpointUp,
		}
		if !e.MAC.IsZero() {
			described.MAC = e.MAC.String()
		}
		if k.Network.AwaitsAddresses(e) {
			described.State, described.Addrs = agentapi.EndpointClaiming, k.Claims[e.ContainerID]
		}
		all = append(all, described)
	}
	for _, m := range k.roster.Members() {
		for _, e := range m.Endpoints {
			all = append(all, remoteEndpoint(m, e))
		}
	}
	sortEndpoints(all)
	return all
}

func sortEndpoints(all []agentapi.EndpointInventory) {
	slices.SortStableFunc(all, func(a, b agentapi.EndpointInventory) int {
		return cmp.Or(strings.Compare(a.Container, b.Container), strings.Compare(a.Host, b.Host))
	})
}

func remoteEndpoint(m *cluster.Member, e cluster.Endpoint) agentapi.EndpointInventory {
	described := agentapi.EndpointInventory{
		Container: membership.ContainerLabel(e.Names, e.ContainerID), ID: e.ContainerID, Names: e.Names, Addrs: e.Addrs,
		Host: m.Host, State: agentapi.EndpointUp,
	}
	if !e.MAC.IsZero() {
		described.MAC = e.MAC.String()
	}
	switch {
	case !m.Reachable:
		described.State = agentapi.EndpointUnreachable
	case e.Claimed():
		described.State = agentapi.EndpointClaiming
	}
	return described
}

// names are those that the name server answers, by the same rule.
func (k Known) names() []agentapi.NameInventory {
	addrs := make(map[string][]netip.Addr)
	rosterOf := func(membership.Network) *membership.Roster { return k.roster }
	for _, z := range membership.Zones([]membership.Network{k.Network}, rosterOf, nil) {
		records := slices.Clone(z.Records)
		for _, group := range z.Remote {
			records = append(records, group.Records...)
		}
		for _, r := range records {
			for _, name := range r.Names {
				name = strings.ToLower(name)
				addrs[name] = append(addrs[name], r.Addrs...)
			}
		}
	}
	all := []agentapi.NameInventory{}
	for _, name := range slices.Sorted(maps.Keys(addrs)) {
		slices.SortFunc(addrs[name], netip.Addr.Compare)
		all = append(all, agentapi.NameInventory{Name: name, Addrs: slices.Compact(addrs[name])})
	}
	return all
}

func (k Known) conflicts() []agentapi.ConflictInventory {
	all := []agentapi.ConflictInventory{}
	for _, d := range membership.Duplicates(k.Network, k.roster) {
		c := agentapi.ConflictInventory{
			Kind: "address", Value: d.Addr.String(), Host: d.There.Host, Keeps: "here", Text: d.String(),
			Here:  membership.ContainerLabel(d.Here.Names(), d.Here.ContainerID),
			There: membership.ContainerLabel(d.There.Names, d.There.ContainerID),
		}
		if d.KeptThere {
			c.Keeps = "there"
		}
		all = append(all, c)
	}
	for _, c := range membership.NameConflicts(k.Network, k.roster) {
		name := c.There.Names[0]
		all = append(all, agentapi.ConflictInventory{
			Kind: "name", Value: name, Here: name, There: name, Host: c.There.Host, Keeps: "both", Text: c.String(),
		})
	}
	return all
}

func (k Known) differences() []string {
	all := []string{}
	for _, d := range new(membership.Differences).Find(k.Network, k.Others) {
		all = append(all, d.Text)
	}
	return all
}

// Elsewhere returns the networks of other hosts that are none of this host's.
func Elsewhere(here []membership.Network, snapshots []cluster.Snapshot) []agentapi.NetworkElsewhere {
	known := make(map[cluster.NetworkKey]bool)
	for _, n := range here {
		known[n.Key()] = true
	}
	found := make(map[cluster.NetworkKey]*agentapi.NetworkElsewhere)
	for _, s := range snapshots {
		for _, h := range s.Hosts {
			for _, m := range h.Memberships {
				if known[m.Network] {
					continue
				}
				if found[m.Network] == nil {
					found[m.Network] = newElsewhere(m)
				}
				found[m.Network].Hosts = append(found[m.Network].Hosts, h.Label())
				found[m.Network].Containers += len(m.Endpoints)
				member := &cluster.Member{Host: h.Label(), Reachable: h.Reachable(), Membership: m}
				for _, e := range m.Endpoints {
					found[m.Network].Endpoints = append(found[m.Network].Endpoints, remoteEndpoint(member, e))
				}
			}
		}
	}
	all := []agentapi.NetworkElsewhere{}
	for _, key := range slices.SortedFunc(maps.Keys(found), cluster.NetworkKey.Compare) {
		slices.Sort(found[key].Hosts)
		sortEndpoints(found[key].Endpoints)
		found[key].Hosts = slices.Compact(found[key].Hosts)
		all = append(all, *found[key])
	}
	return all
}

func newElsewhere(m cluster.Membership) *agentapi.NetworkElsewhere {
	e := &agentapi.NetworkElsewhere{Name: m.View.Name, VNI: m.Network.VNI, Port: m.Network.Port, MTU: int(m.View.MTU)}
	e.Endpoints = []agentapi.EndpointInventory{}
	for _, s := range m.View.Subnets {
		e.Subnets = append(e.Subnets, s.Prefix.String())
	}
	return e
}
