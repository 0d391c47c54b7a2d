package ipam

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"vxlan-driver/internal/network"
)

// AssignSlices completes each subnet of n on the host with VTEP v: the gateway, this host's slice
// of the addresses, and the host's own address. A subnet that cannot be divided is a Problem and
// gets only the gateway.
//
// The host's own address is the first usable one behind its slice. It follows from the slice alone,
// so setup finds the address for which create left room.
func AssignSlices(n *network.Network, v network.VTEP) network.Problems {
	var problems network.Problems
	for i := range n.Subnets {
		s := &n.Subnets[i]
		if !s.Gateway.IsValid() && !s.Prefix.IsSingleIP() {
			s.Gateway = s.Prefix.Addr().Next()
		}
		if s.Lease.IsZero() && !hasContainerAddr(*s) {
			problems.Add("--subnet", s.Prefix.String(),
				"is too small: it has no address for a container besides the gateway's; use a /29 or larger, in IPv6 a /125")
			continue
		}
		if !n.ListsHosts() && !n.PodmanPicks {
			continue // the agents assign addresses
		}
		if s.Lease.IsZero() && n.ListsHosts() && v.Local.IsValid() && len(v.Remotes) > 0 {
			// The rank is that in the list as typed, which is the same on all hosts: one that has
			// two of the addresses must not count as one.
			lease, err := SubnetSlice(*s, n.Remotes, v.Local, n.MaxHosts)
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

// hasContainerAddr tells whether the subnet has any address that a container can have.
func hasContainerAddr(s network.Subnet) bool {
	for a, i := s.Prefix.Addr(), 0; s.Prefix.Contains(a) && i < 4; a, i = a.Next(), i+1 {
		if isUsable(s, a) {
			return true
		}
	}
	return false
}

// CheckHostAddrs refuses addresses for a container that are other hosts' own, whether or not these
// hosts have a container just now. Where this host's range is not its slice, the user has chosen
// ranges, and those of others are not known.
func CheckHostAddrs(n network.Network, v network.VTEP, addrs []netip.Prefix) error {
	var problems network.Problems
	for _, p := range addrs {
		s, ok := n.SubnetOf(p.Addr())
		if !ok || !n.ListsHosts() || len(v.Remotes) == 0 {
			continue
		}
		d, err := divide(s, n.Remotes, v.Local, n.MaxHosts)
		if err != nil {
			continue // create has said so, and slices were not assigned
		}
		if own, err := d.slice(d.rank); err != nil || own != s.Lease {
			continue
		}
		rank := d.rankOf(p.Addr())
		slice, err := d.slice(rank)
		s.Lease = slice
		switch {
		case err != nil || rank >= d.hosts || hostAddr(s) != p.Addr():
		case rank < len(d.sorted):
			problems.Add("--ip", p.Addr().String(), "is the own address of host %s on network %s", d.sorted[rank], n.Name)
		default:
			problems.Add("--ip", p.Addr().String(), "is kept for a later host's own address on network %s, as max_hosts says",
				n.Name)
		}
	}
	return problems.Err()
}

// ReserveRanges takes the last usable address out of each range that the user gave (--ip-range); it
// becomes the host's own. Call it once, when a network is created.
func ReserveRanges(n *network.Network) network.Problems {
	var problems network.Problems
	for i := range n.Subnets {
		s := &n.Subnets[i]
		if s.Lease.IsZero() {
			continue
		}
		lease, err := reserveHostAddr(*s)
		if err != nil {
			problems.Add("--ip-range", s.Lease.Typed(), "%s", err)
			continue
		}
		s.Lease = lease
	}
	return problems
}

var errNoRoom = errors.New("must have at least two usable addresses: a container's and this host's own")

func reserveHostAddr(s network.Subnet) (network.Range, error) {
	lease := s.Lease
	if !lease.First.IsValid() {
		lease.First = s.Prefix.Addr()
	}
	if !lease.Last.IsValid() {
		lease.Last = lastAddr(s.Prefix)
	}
	for !isUsable(s, lease.First) && lease.First.Less(lease.Last) {
		lease.First = lease.First.Next()
	}
	host := lease.Last
	for !isUsable(s, host) && lease.First.Less(host) {
		host = host.Prev()
	}
	lease.Last = host.Prev()
	for !isUsable(s, lease.Last) && lease.First.Less(lease.Last) {
		lease.Last = lease.Last.Prev()
	}
	if lease.Last.Less(lease.First) || !isUsable(s, host) || !isUsable(s, lease.Last) {
		return lease, errNoRoom
	}
	return lease, nil
}

// hostAddr returns the first usable address behind the lease range.
func hostAddr(s network.Subnet) netip.Addr {
	if !s.Lease.Last.IsValid() {
		return netip.Addr{}
	}
	for a := s.Lease.Last.Next(); s.Prefix.Contains(a); a = a.Next() {
		if isUsable(s, a) {
			return a
		}
	}
	return netip.Addr{}
}

// isUsable tells whether a host or container can have the address. It cannot have the network
// address (in IPv6 that of all routers, RFC 4291, section 2.6.1), the broadcast address and the
// gateway.
func isUsable(s network.Subnet, a netip.Addr) bool {
	if !s.Prefix.Contains(a) || a == s.Gateway || a == s.Prefix.Addr() {
		return false
	}
	return a.Is6() || a != lastAddr(s.Prefix)
}

// lastAddr returns the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		if bits := p.Bits() - 8*i; bits < 8 {
			b[i] |= 0xff >> max(bits, 0)
		}
	}
	a, _ := netip.AddrFromSlice(b) // the length is right
	return a
}

// minSliceBits is the size of the smallest slice, as a power of two: the network address, the
// gateway, the host's own address and one for a container.
const minSliceBits = 2

// SubnetSlice returns the slice of the subnet from which the host with the VTEP self assigns
// addresses. Slices do not overlap, so hosts need not talk to each other to assign different ones.
// The subnet is divided into as many equal slices as there are VTEPs, or hosts if that is more,
// rounded up to a power of two. Each VTEP gets the slice of its rank in the sorted list, so all
// hosts come to the same division.
//
// A slice never contains the network address, the broadcast address and the gateway, nor the
// address behind the slice, which is the host's own.
func SubnetSlice(s network.Subnet, vteps []netip.Addr, self netip.Addr, hosts int) (network.Range, error) {
	d, err := divide(s, vteps, self, hosts)
	if err != nil {
		return network.Range{}, err
	}
	return d.slice(d.rank)
}

// division is a subnet divided among hosts.
type division struct {
	subnet    network.Subnet
	sorted    []netip.Addr // VTEPs
	rank      int          // this host's
	hosts     int          // slices that are, or will be, some host's
	sliceBits uint         // the size of a slice, as a power of two
}

func divide(s network.Subnet, vteps []netip.Addr, self netip.Addr, hosts int) (division, error) {
	sorted := slices.SortedFunc(slices.Values(append(slices.Clone(vteps), self)), netip.Addr.Compare)
	sorted = slices.Compact(sorted)
	rank, _ := slices.BinarySearchFunc(sorted, self, netip.Addr.Compare)
	if hosts > 0 && hosts < len(sorted) {
		return division{}, fmt.Errorf("cannot be divided among %d hosts: max_hosts is %d", len(sorted), hosts)
	}
	hosts = max(len(sorted), hosts)
	partBits := bits.Len(uint(hosts - 1)) // of the number of slices
	hostBits := s.Prefix.Addr().BitLen() - s.Prefix.Bits()
	if hostBits < partBits+minSliceBits {
		return division{}, fmt.Errorf(
			"is too small to give each of %d hosts addresses of its own; the smallest that works is a /%d, or give every host "+
				"its own --ip-range",
			hosts, s.Prefix.Addr().BitLen()-partBits-minSliceBits)
	}
	return division{s, sorted, rank, hosts, uint(hostBits - partBits)}, nil
}

// slice returns the slice of the host with the rank.
func (d division) slice(rank int) (network.Range, error) {
	part := d.subnet
	part.Lease.First = addOffset(d.subnet.Prefix.Addr(), number{low: uint64(rank)}.shiftLeft(d.sliceBits))
	part.Lease.Last = lastAddr(netip.PrefixFrom(part.Lease.First, d.subnet.Prefix.Addr().BitLen()-int(d.sliceBits)))
	lease, err := reserveHostAddr(part)
	if err != nil {
		return lease, err
	}
	return withoutGateway(lease, d.subnet.Gateway), nil
}

// rankOf returns the rank of the host whose slice has the address.
func (d division) rankOf(a netip.Addr) int {
	return int(distance(d.subnet.Prefix.Addr(), a).shiftRight(d.sliceBits).low)
}

// withoutGateway returns the longer part of the range before or behind the gateway.
func withoutGateway(r network.Range, gateway netip.Addr) network.Range {
	if !gateway.IsValid() || gateway.Less(r.First) || r.Last.Less(gateway) {
		return r
	}
	before, after := distance(r.First, gateway), distance(gateway, r.Last)
	if before.compare(after) > 0 {
		r.Last = gateway.Prev()
	} else {
		r.First = gateway.Next()
	}
	return r
}
