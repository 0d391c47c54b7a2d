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
	o := addressOwner{host: h.Host, claimed: h.Pending, unreachable: h.Unreachable}
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

// addressOwners maps each address to the owner with the best right to it.
type addressOwners map[netip.Addr]addressOwner

func (owners addressOwners) add(a netip.Addr, o addressOwner) {
	if have, ok := owners[a]; ok && (!have.claimed || o.claimed && have.vtep.Less(o.vtep)) {
		return
	}
	owners[a] = o
}

// ownersLocked returns who has the addresses of a network: the other hosts and their containers,
// and the containers of this host with their claims, except one.
func (c *Claims) ownersLocked(n membership.Network, s cluster.Snapshot, except string) addressOwners {
	owners := make(addressOwners)
	for _, m := range n.Members(s) {
		o := addressOwner{host: m.Host, vtep: m.VTEP, addr: m.Addr, unreachable: !m.Reachable}
		for _, a := range m.HostAddrs {
			owners.add(a, o)
		}
		for _, e := range m.Endpoints {
			o.container, o.claimed = membership.ContainerLabel(e.Names, e.ContainerID), e.Pending()
			for _, a := range e.Addrs {
				owners.add(a, o)
			}
		}
	}
	for _, e := range n.Endpoints {
		if e.ContainerID == except {
			continue
		}
		for _, p := range e.Addrs {
			owners.add(p.Addr(), addressOwner{vtep: n.VTEP.Local, container: membership.ContainerLabel(e.Names(), e.ContainerID)})
		}
	}
	for key, claim := range c.active {
		if key.NetworkID != n.ID || key.ContainerID == except {
			continue
		}
		for _, a := range claim.addrs {
			owners.add(a, addressOwner{vtep: n.VTEP.Local, container: membership.ContainerLabel(nil, key.ContainerID), claimed: true})
		}
	}
	return owners
}
