package addrclaim

import (
	"net/netip"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/membership"
)

// addressOwner is who has an address of a network.
type addressOwner struct {
	host        string     // "": this one
	vtep        netip.Addr // the host's
	addr        netip.Addr // where its agent listens
	container   string     // "": the host itself has it
	claimed     bool       // the container is only about to get it
	unreachable bool       // the host does not answer; what it has stays its own
}

// String says who it is, for a person.
func (o addressOwner) String() string {
	text := "host " + o.host + " itself"
	switch {
	case o.host == "" && o.container == "":
		text = "this host itself"
	case o.host == "":
		text = "container " + o.container
	case o.container != "":
		text = "container " + o.container + " on host " + o.host
	}
	if o.unreachable {
		text += ", which does not answer"
	}
	return text
}

// ownerOf is who a plane says has an address.
func ownerOf(h cluster.Holder) addressOwner {
	o := addressOwner{host: h.Host, addr: h.Addr, claimed: h.Pending, unreachable: h.Unreachable}
	if h.ContainerID != "" {
		o.container = membership.ContainerLabel([]string{h.Container}, h.ContainerID)
	}
	return o
}

// displaces tells whether the host with the VTEP must leave its own address to the owner. It leaves
// it to any container, since a host's address changes more easily. Of two hosts the one with the
// lower VTEP keeps it. A claim is given up when the container's host hears of this one.
func (o addressOwner) displaces(vtep netip.Addr) bool {
	if o.container != "" {
		return !o.claimed
	}
	return !o.unreachable && o.vtep.Less(vtep)
}

// addressOwners tells the owner with the best right to each address. Beside 50,000 containers it is
// made in milliseconds at each start, so it has of each address only where its owner is described.
type addressOwners struct {
	byAddr map[netip.Addr]ownerRef
	own    []addressOwner // of this host
	within netip.Prefix   // other addresses are left out; the zero prefix: none is
}

// ownerRef is an endpoint of a member, by number, or the member itself. Without a member it is a
// number among the owners of this host.
type ownerRef struct {
	member *cluster.Member
	number int
}

// hostItself is the number of a member itself.
const hostItself = -1

// Of returns the owner of an address, if it has one.
func (o *addressOwners) Of(a netip.Addr) (addressOwner, bool) {
	ref, ok := o.byAddr[a]
	if !ok {
		return addressOwner{}, false
	}
	return o.describe(ref), true
}

func (o *addressOwners) describe(ref ownerRef) addressOwner {
	m := ref.member
	if m == nil {
		return o.own[ref.number]
	}
	owner := addressOwner{host: m.Host, vtep: m.VTEP, addr: m.Addr, unreachable: !m.Reachable}
	if ref.number != hostItself {
		e := m.Endpoints[ref.number]
		owner.container, owner.claimed = membership.ContainerLabel(e.Names, e.ContainerID), e.Pending()
	}
	return owner
}

// add gives addresses to an owner, unless others have a better right to them.
func (o *addressOwners) add(ref ownerRef, addrs ...netip.Addr) {
	for _, a := range addrs {
		if o.within.IsValid() && !o.within.Contains(a) {
			continue
		}
		if have, ok := o.byAddr[a]; ok && !o.describe(ref).hasBetterRight(o.describe(have)) {
			continue
		}
		o.byAddr[a] = ref
	}
}

// addOwn gives addresses to an owner of this host.
func (o *addressOwners) addOwn(owner addressOwner, addrs ...netip.Addr) {
	o.own = append(o.own, owner)
	o.add(ownerRef{number: len(o.own) - 1}, addrs...)
}

// hasBetterRight tells whether the owner has a better right to an address than one who was found
// first. A claim stands back behind a container, and behind the claim of a host with a higher VTEP.
func (o addressOwner) hasBetterRight(first addressOwner) bool {
	return first.claimed && !(o.claimed && first.vtep.Less(o.vtep))
}

// ownerOfLocked returns who has one address.
func (c *Claims) ownerOfLocked(n membership.Network, members []*cluster.Member, a netip.Addr) (addressOwner, bool) {
	if !a.IsValid() {
		return addressOwner{}, false
	}
	return c.ownersWithinLocked(n, members, netip.PrefixFrom(a, a.BitLen())).Of(a)
}

// ownersWithinLocked returns who has the addresses of a prefix. To look through 50,000 containers takes a
// part of the time that the map of all owners takes.
func (c *Claims) ownersWithinLocked(n membership.Network, members []*cluster.Member, p netip.Prefix) *addressOwners {
	owners := &addressOwners{byAddr: make(map[netip.Addr]ownerRef), within: p}
	owners.addMembers(members)
	c.addOwnLocked(owners, n, "")
	return owners
}

// ownersLocked returns who has the addresses of a network: the other hosts and their containers,
// and the containers of this host with their claims, except one.
func (c *Claims) ownersLocked(n membership.Network, members []*cluster.Member, except string) *addressOwners {
	count := 0
	for _, m := range members {
		count += len(m.HostAddrs) + len(m.Endpoints)
	}
	owners := &addressOwners{byAddr: make(map[netip.Addr]ownerRef, count)}
	owners.addMembers(members)
	c.addOwnLocked(owners, n, except)
	return owners
}

func (c *Claims) addOwnLocked(owners *addressOwners, n membership.Network, except string) {
	for _, e := range n.Endpoints {
		if e.ContainerID != except {
			owners.addOwn(addressOwner{vtep: n.VTEP.Local, container: membership.ContainerLabel(e.Names(), e.ContainerID)},
				membership.AddrsOf(e)...)
		}
	}
	for key, claim := range c.active {
		if key.NetworkID == n.ID && key.ContainerID != except {
			owners.addOwn(addressOwner{vtep: n.VTEP.Local, container: membership.ContainerLabel(nil, key.ContainerID),
				claimed: true}, claim.addrs...)
		}
	}
}

func (o *addressOwners) addMembers(members []*cluster.Member) {
	for _, m := range members {
		o.add(ownerRef{m, hostItself}, m.HostAddrs...)
		for i := range m.Endpoints {
			o.add(ownerRef{m, i}, m.Endpoints[i].Addrs...)
		}
	}
}
