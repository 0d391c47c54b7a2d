package ipam

import (
	"net/netip"

	"vxlan-driver/internal/network"
)

// HostSlice is what one host of a network with a list hands out of a subnet.
type HostSlice struct {
	Host        netip.Addr // on the underlay; invalid: kept for a later host
	Lease       network.Range
	HostAddress netip.Addr // that host's own
}

// Slices returns what each host on the list hands out of a subnet, in the order of the list, with
// what is kept for later ones. It is empty where the subnet is not divided by the list: hosts then
// have ranges of their users' choice, which nobody else knows, or agree on addresses.
func Slices(n network.Network, v network.VTEP, s network.Subnet) []HostSlice {
	if !n.ListsHosts() || len(v.Remotes) == 0 {
		return nil
	}
	d, err := divide(s, n.Remotes, v.Local, n.MaxHosts)
	if err != nil {
		return nil
	}
	if own, err := d.slice(d.rank); err != nil || own != s.Lease {
		return nil
	}
	all := make([]HostSlice, d.hosts)
	for rank := range all {
		part := s
		if part.Lease, err = d.slice(rank); err != nil {
			return nil
		}
		all[rank] = HostSlice{Lease: part.Lease, HostAddress: hostAddr(part)}
		if rank < len(d.sorted) {
			all[rank].Host = d.sorted[rank]
		}
	}
	return all
}

// Range returns the first and the last address that this host may hand out.
func Range(s network.Subnet) network.Range { return leaseRange(s) }

// Unusable says why no host may ever hand out an address of the subnet; "": one may.
func Unusable(s network.Subnet, a netip.Addr) string {
	switch {
	case a == s.Gateway:
		return "it is the gateway's"
	case a == s.Prefix.Addr() && a.Is4():
		return "it is the network address of " + s.Prefix.String()
	case a == s.Prefix.Addr():
		return "it is that of all routers of " + s.Prefix.String()
	case !isUsable(s, a):
		return "it is the broadcast address of " + s.Prefix.String()
	}
	return ""
}
