package replica

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// takenAddrs are addresses that others have, and who.
type takenAddrs map[netip.Addr]cluster.Holder

// add notes who has an address. Who only claims it stands back.
func (t takenAddrs) add(a netip.Addr, h cluster.Holder) {
	if have, known := t[a]; !known || have.Pending && !h.Pending {
		t[a] = h
	}
}

// addAnsweredHolders adds the addresses of which hosts said themselves that they have them. What one
// only claims, its record decides if that is here. If not, the lower VTEP gets it.
func (c *claims) addAnsweredHolders(w *ClaimWait, taken takenAddrs) {
	own, _ := c.record.membership(w.key.Network)
	for host, answer := range w.answers {
		hasRecord := c.table.Knows(host) && !c.awaitsRecord(host, w.needed[host])
		for _, h := range answer.Held {
			yields := h.Pending && (hasRecord || own.VTEP.Less(h.VTEP))
			if h.Network == w.key.Network && slices.Contains(w.claim.addrs, h.Addr) && !yields {
				taken.add(h.Addr, cluster.Holder{
					Host: c.table.Label(host), Addr: host.Addr.Addr(), Container: h.Container, ContainerID: h.ContainerID,
					Pending: h.Pending, Unreachable: !c.table.present[host],
				})
			}
		}
	}
}

// addUnseenHolders adds the hosts of which another one said that they have one of the addresses, and
// whose records did not come in time or are left out for lack of room.
func (c *claims) addUnseenHolders(w *ClaimWait, taken takenAddrs) {
	for host, needed := range w.needed {
		e, known := c.table.entries[host]
		if w.answers[host] != nil || !needed.holds || known && !e.dropped && !c.awaitsRecord(host, needed) {
			continue
		}
		for _, a := range w.claim.addrs {
			if _, isTaken := taken[a]; !isTaken {
				taken[a] = cluster.Holder{
					Host: c.table.Label(host), Addr: host.Addr.Addr(), Pending: true, Unreachable: !c.table.present[host],
				}
			}
		}
	}
}

func findNetwork(memberships []cluster.Membership, key cluster.NetworkKey) (cluster.Membership, bool) {
	i := slices.IndexFunc(memberships, func(m cluster.Membership) bool { return m.Network == key })
	if i < 0 {
		return cluster.Membership{}, false
	}
	return memberships[i], true
}

// holders returns who else has the addresses that a container of this host claims. A pending claim
// of a host that has answered this one's yields to it, if this host's VTEP is lower. Where a record
// of this host's own ID has the same container, it is this host as it was before its address changed.
func (c *claims) holders(key ClaimKey, addrs []netip.Addr, answered map[wire.Key]bool) takenAddrs {
	taken := make(takenAddrs)
	own, _ := c.record.membership(key.Network)
	eachHolder(own, addrs, func(a netip.Addr, h cluster.Holder) {
		if h.ContainerID != key.ContainerID {
			taken[a] = h
		}
	})
	if !slices.ContainsFunc(addrs, func(a netip.Addr) bool { return c.table.inUse[a] > 0 }) {
		return taken
	}
	for host, e := range c.table.entries {
		m, ok := findNetwork(e.Memberships, key.Network)
		if !ok || !e.isVisible() {
			continue
		}
		eachHolder(m, addrs, func(a netip.Addr, h cluster.Holder) {
			isItself := h.ContainerID == key.ContainerID && host.ID == c.self.ID
			if isItself || h.Pending && answered[host] && own.VTEP.Less(m.VTEP) {
				return
			}
			h.Host, h.Addr, h.Unreachable = c.table.Label(host), host.Addr.Addr(), !e.goneSince.IsZero()
			taken.add(a, h)
		})
	}
	return taken
}

// eachHolder calls f for each of the addresses that a host has on a network.
func eachHolder(m cluster.Membership, addrs []netip.Addr, f func(netip.Addr, cluster.Holder)) {
	for _, a := range m.HostAddrs {
		if slices.Contains(addrs, a) {
			f(a, cluster.Holder{})
		}
	}
	for _, e := range m.Endpoints {
		for _, a := range e.Addrs {
			if slices.Contains(addrs, a) {
				h := cluster.Holder{ContainerID: e.ContainerID, Pending: e.Pending()}
				if len(e.Names) > 0 {
					h.Container = e.Names[0]
				}
				f(a, h)
			}
		}
	}
}
