package inventory

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"vxlan-driver/internal/agentapi"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/membership"
)

// endpointRef is where an endpoint is. There may be 50,000, and what is said of one is ten times as
// large. So it is said only as it is sent.
type endpointRef struct {
	member *cluster.Member // nil: of this host
	index  int
}

// Endpoints returns the containers, by name.
func (d Description) Endpoints() iter.Seq[agentapi.EndpointInventory] {
	return sortedEndpoints(d.own, d.members)
}

// Endpoints returns the containers, by name.
func (d ElsewhereDescription) Endpoints() iter.Seq[agentapi.EndpointInventory] {
	return sortedEndpoints(nil, d.members)
}

func sortedEndpoints(own []agentapi.EndpointInventory, members []*cluster.Member) iter.Seq[agentapi.EndpointInventory] {
	return func(yield func(agentapi.EndpointInventory) bool) {
		refs := endpointRefs(own, members)
		label := func(r endpointRef) (container, host string) {
			if r.member == nil {
				return own[r.index].Container, own[r.index].Host
			}
			e := r.member.Endpoints[r.index]
			return membership.ContainerLabel(e.Names, e.ContainerID), r.member.Host
		}
		slices.SortStableFunc(refs, func(a, b endpointRef) int {
			containerA, hostA := label(a)
			containerB, hostB := label(b)
			return cmp.Or(strings.Compare(containerA, containerB), strings.Compare(hostA, hostB))
		})
		for _, r := range refs {
			e := agentapi.EndpointInventory{}
			if r.member == nil {
				e = own[r.index]
			} else {
				e = remoteEndpoint(r.member, r.member.Endpoints[r.index])
			}
			if !yield(e) {
				return
			}
		}
	}
}

func endpointRefs(own []agentapi.EndpointInventory, members []*cluster.Member) []endpointRef {
	count := len(own)
	for _, m := range members {
		count += len(m.Endpoints)
	}
	refs := make([]endpointRef, 0, count)
	for i := range own {
		refs = append(refs, endpointRef{nil, i})
	}
	for _, m := range members {
		for i := range m.Endpoints {
			refs = append(refs, endpointRef{m, i})
		}
	}
	return refs
}

// ownEndpoints describes the containers of this host.
func (k Known) ownEndpoints() []agentapi.EndpointInventory {
	var all []agentapi.EndpointInventory
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
	return all
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

// nameRef is a name of a record.
type nameRef struct {
	name   string // in lower case
	record *dns.Record
}

// Names returns what the name server answers, by name.
func (d Description) Names() iter.Seq[agentapi.NameInventory] {
	return func(yield func(agentapi.NameInventory) bool) {
		refs := d.nameRefs()
		for len(refs) > 0 {
			n := 1
			for n < len(refs) && refs[n].name == refs[0].name {
				n++
			}
			var addrs []netip.Addr
			for _, r := range refs[:n] {
				addrs = append(addrs, r.record.Addrs...)
			}
			slices.SortFunc(addrs, netip.Addr.Compare)
			if !yield(agentapi.NameInventory{Name: refs[0].name, Addrs: slices.Compact(addrs)}) {
				return
			}
			refs = refs[n:]
		}
	}
}

// nameRefs returns the names of all records, sorted.
func (d Description) nameRefs() []nameRef {
	count := 0
	for _, records := range d.records {
		for _, r := range records {
			count += len(r.Names)
		}
	}
	refs := make([]nameRef, 0, count)
	for _, records := range d.records {
		for i := range records {
			for _, name := range records[i].Names {
				refs = append(refs, nameRef{strings.ToLower(name), &records[i]})
			}
		}
	}
	slices.SortFunc(refs, func(a, b nameRef) int { return strings.Compare(a.name, b.name) })
	return refs
}
