package inventory

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/dns"
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
	// Roster has the members. nil: as Others has them.
	Roster *membership.Roster
}

// Description is all that is known of a network. Its long lists are made one item at a time.
type Description struct {
	agentapi.NetworkInventory // without Endpoints and Names
	own                       []agentapi.EndpointInventory
	members                   []*cluster.Member
	records                   [][]dns.Record // of the names
}

// Whole returns the description with its long lists.
func (d Description) Whole() agentapi.NetworkInventory {
	d.NetworkInventory.Endpoints = collect(d.Endpoints())
	d.NetworkInventory.Names = collect(d.Names())
	return d.NetworkInventory
}

// collect returns a list that is not nil.
func collect[E any](items iter.Seq[E]) []E { return slices.AppendSeq([]E{}, items) }

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
		described := Describe(Known{Host: host, Network: n}).Whole()
		described.Names = []agentapi.NameInventory{} // nobody answers them
		all.Networks = append(all.Networks, described)
	}
	slices.SortFunc(all.Networks, func(a, b agentapi.NetworkInventory) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Describe returns all that is known of a network. The roster may change afterwards.
func Describe(k Known) Description {
	if k.Roster == nil {
		k.Roster = membership.NewRoster(k.Network, k.Others)
	}
	return Description{NetworkInventory: k.describe(), own: k.ownEndpoints(), members: k.Roster.Members(),
		records: k.records()}
}

func (k Known) describe() agentapi.NetworkInventory {
	n := k.Network
	return agentapi.NetworkInventory{
		ID: n.ID, Name: n.Name, VNI: n.Tunnel.VNI, Port: n.Tunnel.Port, Discovery: discoveryOf(n),
		VTEP: n.VTEP.Local, Interface: n.VTEP.Interface, MTU: n.VTEP.MTU, UnderlayMTU: n.VTEP.UnderlayMTU,
		Bridge: n.Bridge.Name, Device: n.Device.Name, Options: n.Options(),
		Subnets: k.subnets(), Hosts: k.hosts(),
		Conflicts: k.conflicts(), Differences: k.differences(),
	}
}

func discoveryOf(n membership.Network) string {
	switch {
	case n.FindsHosts():
		return n.Discovery.Name()
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
	for _, m := range k.Roster.Members() {
		all = append(all, agentapi.MemberInventory{
			Name: m.Host, VTEP: m.VTEP, Reachable: m.Reachable, MTU: int(m.View.MTU), HostAddrs: m.HostAddrs,
			Containers: len(m.Endpoints),
		})
	}
	return all
}

// records are those that the name server answers, by the same rule.
func (k Known) records() (all [][]dns.Record) {
	rosterOf := func(membership.Network) *membership.Roster { return k.Roster }
	for _, z := range membership.Zones([]membership.Network{k.Network}, rosterOf, nil) {
		all = append(all, z.Records)
		for _, group := range z.Remote {
			all = append(all, group.Records)
		}
	}
	return all
}

func (k Known) conflicts() []agentapi.ConflictInventory {
	all := []agentapi.ConflictInventory{}
	for _, d := range membership.Duplicates(k.Network, k.Roster) {
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
	for _, c := range membership.NameConflicts(k.Network, k.Roster) {
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

// ElsewhereDescription is all that is known of a network of other hosts. Its long list is made one
// item at a time.
type ElsewhereDescription struct {
	agentapi.NetworkElsewhere // without Endpoints
	members                   []*cluster.Member
}

// Elsewhere returns the networks of other hosts that are none of this host's.
func Elsewhere(here []membership.Network, snapshots []cluster.Snapshot) []ElsewhereDescription {
	known := make(map[cluster.NetworkKey]bool)
	for _, n := range here {
		known[n.Key()] = true
	}
	found := make(map[cluster.NetworkKey]*ElsewhereDescription)
	for _, s := range snapshots {
		for _, h := range s.Hosts {
			for _, m := range h.Memberships {
				if known[m.Network] {
					continue
				}
				if found[m.Network] == nil {
					found[m.Network] = newElsewhere(m)
				}
				found[m.Network].add(h, m)
			}
		}
	}
	all := []ElsewhereDescription{}
	for _, key := range slices.SortedFunc(maps.Keys(found), cluster.NetworkKey.Compare) {
		slices.Sort(found[key].Hosts)
		found[key].Hosts = slices.Compact(found[key].Hosts)
		all = append(all, *found[key])
	}
	return all
}

func newElsewhere(m cluster.Membership) *ElsewhereDescription {
	var e ElsewhereDescription
	e.Name, e.VNI, e.Port, e.MTU = m.View.Name, m.Network.VNI, m.Network.Port, int(m.View.MTU)
	for _, s := range m.View.Subnets {
		e.Subnets = append(e.Subnets, s.Prefix.String())
	}
	return &e
}

func (e *ElsewhereDescription) add(h *cluster.Host, m cluster.Membership) {
	e.Hosts = append(e.Hosts, h.Label())
	e.Containers += len(m.Endpoints)
	e.members = append(e.members, &cluster.Member{Host: h.Label(), Reachable: h.Reachable(), Membership: m})
}
