package membership

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// Ceded returns the addresses of this host's containers that containers of other hosts keep.
func (r *Roster) Ceded() map[netip.Addr]bool {
	var ceded map[netip.Addr]bool
	for _, e := range r.network.Endpoints {
		for _, a := range AddrsOf(e) {
			if r.cedes(e, a) {
				if ceded == nil {
					ceded = make(map[netip.Addr]bool)
				}
				ceded[a] = true
			}
		}
	}
	return ceded
}

// cedes tells whether a container of this host leaves an address to one of another host.
func (r *Roster) cedes(e *network.Endpoint, a netip.Addr) bool {
	rival := r.bestAt(a, e.ContainerID)
	return rival != nil && rival.Trust.Compare(r.trustOf(e)) < 0
}

// bestAt returns the container with the best right to an address, of those of other hosts that can
// be reached. A claim is no container yet. What this host says at another address of the container
// except is left out: it said so before its address changed. A copy of this machine may have a
// container of the same ID, which is another one.
func (r *Roster) bestAt(a netip.Addr, except string) *plan.Remote {
	for _, one := range r.remotes.At(a) {
		if one.Trust.Class != trustReachable || one.Trust.Right > rightContainer {
			return nil
		}
		if !(one.Trust.Place == except && r.isSelf(one.Trust.Host)) {
			return one
		}
	}
	return nil
}

// isSelf tells whether a member is this host at another address.
func (r *Roster) isSelf(host string) bool {
	h := r.hosts[host]
	return h != nil && h.member != nil && h.member.ID.Matches(r.self)
}

// trustOf is a container of this host as the others see it.
func (r *Roster) trustOf(e *network.Endpoint) plan.Trust {
	right := rightOf(cluster.Endpoint{Requested: e.Requested})
	return plan.Trust{Class: trustReachable, Right: right, VTEP: r.network.VTEP.Local, Place: e.ContainerID}
}

// localRecord is what the name server answers for a container of this host: not the addresses that
// others keep.
func (r *Roster) localRecord(e *network.Endpoint) dns.Record {
	record := LocalRecord(e)
	record.Addrs = slices.DeleteFunc(record.Addrs, func(a netip.Addr) bool { return r.cedes(e, a) })
	return record
}

// keptAddrs drops the addresses of a container of another host, by its key, that others keep.
func (r *Roster) keptAddrs(host string, e cluster.Endpoint) []netip.Addr {
	isOthers := func(a netip.Addr) bool {
		first := r.bestAt(a, "")
		return first != nil && (first.Trust.Host != host || first.Trust.Place != e.ContainerID)
	}
	if !slices.ContainsFunc(e.Addrs, isOthers) {
		return e.Addrs
	}
	return slices.DeleteFunc(slices.Clone(e.Addrs), isOthers)
}
