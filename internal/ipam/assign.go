package ipam

import (
	"errors"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/network"
)

// AssignSlices gives each subnet of n, on the host with VTEP v, what is not set: the
// gateway, this host's part of the addresses, and the host's own address. A
// subnet that it cannot divide is left without the latter two, and is a Problem.
//
// The host's own address is the first usable one behind the part that it hands
// out. So it follows from the part alone, and setup finds the address for which
// create kept room.
func AssignSlices(n *network.Network, v network.VTEP) network.Problems {
	var problems network.Problems
	for i := range n.Subnets {
		s := &n.Subnets[i]
		if !s.Gateway.IsValid() && !s.Prefix.IsSingleIP() {
			s.Gateway = s.Prefix.Addr().Next()
		}
		if n.Gossip {
			continue // the hosts see what each other have
		}
		if s.Lease.IsZero() && v.Local.IsValid() && len(v.Remotes) > 0 {
			lease, err := Slice(*s, append([]netip.Addr{v.Local}, v.Remotes...), v.Local, n.MaxHosts)
			if err != nil {
				problems.Add("--subnet", s.Prefix.String(), "%s", err)
				continue
			}
			s.Lease = lease
		}
		s.HostAddress = hostAddr(*s)
	}
	return problems
}

// ReserveRanges takes the host's own address out of the ranges that the user gave
// (--ip-range), and must be called once, when a network is created: the last usable address of each.
func ReserveRanges(n *network.Network) network.Problems {
	var problems network.Problems
	for i := range n.Subnets {
		s := &n.Subnets[i]
		if s.Lease.IsZero() {
			continue
		}
		lease, err := reserve(*s)
		if err != nil {
			problems.Add("--ip-range", fmt.Sprintf("%s-%s", s.Lease.First, s.Lease.Last), "%s", err)
			continue
		}
		s.Lease = lease
	}
	return problems
}

var errNoRoom = errors.New("must have at least two usable addresses: a container's and this host's own")

func reserve(s network.Subnet) (network.Range, error) {
	lease := s.Lease
	if !lease.First.IsValid() {
		lease.First = s.Prefix.Addr()
	}
	if !lease.Last.IsValid() {
		lease.Last = last(s.Prefix)
	}
	for !usable(s, lease.First) && lease.First.Less(lease.Last) {
		lease.First = lease.First.Next()
	}
	host := lease.Last
	for !usable(s, host) && lease.First.Less(host) {
		host = host.Prev()
	}
	lease.Last = host.Prev()
	for !usable(s, lease.Last) && lease.First.Less(lease.Last) {
		lease.Last = lease.Last.Prev()
	}
	if lease.Last.Less(lease.First) || !usable(s, host) || !usable(s, lease.Last) {
		return lease, errNoRoom
	}
	return lease, nil
}

// hostAddr is the first usable address behind the part that the host hands out.
func hostAddr(s network.Subnet) netip.Addr {
	if !s.Lease.Last.IsValid() {
		return netip.Addr{}
	}
	for a := s.Lease.Last.Next(); s.Prefix.Contains(a); a = a.Next() {
		if usable(s, a) {
			return a
		}
	}
	return netip.Addr{}
}

// usable tells whether a host or container can have the address: the network
// address, in IPv6 that of all routers (RFC 4291, section 2.6.1), the broadcast address and the gateway are taken.
func usable(s network.Subnet, a netip.Addr) bool {
	if !s.Prefix.Contains(a) || a == s.Gateway || a == s.Prefix.Addr() {
		return false
	}
	return a.Is6() || a != last(s.Prefix)
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		if bits := p.Bits() - 8*i; bits < 8 {
			b[i] |= 0xff >> max(bits, 0)
		}
	}
	a, _ := netip.AddrFromSlice(b) // the length is right
	return a
}
