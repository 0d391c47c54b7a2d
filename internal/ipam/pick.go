package ipam

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"

	"vxlan-driver/internal/network"
)

const (
	// maxSpread is over how many addresses StartAddress spreads: all of IPv4, and in IPv6 enough
	// that 10,000 starts rarely meet.
	maxSpread = 1 << 32
	// maxSearch ends the search in a huge subnet. It is more than the addresses that hosts can tell
	// each other of.
	maxSearch = 1 << 22
)

// PickAddress returns the first free address of the subnet's lease range at or after start. Behind
// the last address the search goes on at the first. It never returns the gateway, the host's own
// address, the network address or the broadcast address. A start outside the range stands for its
// first address.
func PickAddress(s network.Subnet, start netip.Addr, taken func(netip.Addr) bool) (netip.Addr, error) {
	lease := leaseRange(s)
	if start.BitLen() != lease.First.BitLen() || !lease.Contains(start) {
		start = lease.First
	}
	used := 0
	a := start
	for range maxSearch {
		if isUsable(s, a) {
			if a != s.HostAddress && !taken(a) {
				return a, nil
			}
			used++
		}
		if a == lease.Last {
			a = lease.First
		} else {
			a = a.Next()
		}
		if a == start {
			break
		}
	}
	return netip.Addr{}, fmt.Errorf(
		"no free address in %s: all %d in use by containers and hosts, those of hosts that do not answer included",
		rangeText(s), used)
}

// StartAddress returns where a host or container of that name starts to pick. Different names start
// at different addresses, so that hosts that cannot reach each other rarely pick the same.
func StartAddress(s network.Subnet, name string) netip.Addr {
	lease := leaseRange(s)
	spread := uint64(maxSpread)
	if most := distance(lease.First, lease.Last); most.high == 0 && most.low < maxSpread {
		spread = most.low + 1
	}
	sum := sha256.Sum256([]byte(s.Prefix.String() + " " + name))
	position := binary.BigEndian.Uint64(sum[:]) % spread
	return addOffset(lease.First, number{low: position})
}

// HostStartAddress is StartAddress for a host's own address: the one that ReserveRanges kept behind
// the user's range, if there is one.
func HostStartAddress(s network.Subnet, name string) netip.Addr {
	if !s.Lease.IsZero() {
		if a := hostAddr(s); a.IsValid() {
			return a
		}
	}
	return StartAddress(s, name)
}

// PickHostAddress is PickAddress for a host's own address, which may be the one that ReserveRanges
// kept.
func PickHostAddress(s network.Subnet, start netip.Addr, taken func(netip.Addr) bool) (netip.Addr, error) {
	s.HostAddress = netip.Addr{}
	if isUsable(s, start) && !taken(start) {
		return start, nil
	}
	return PickAddress(s, start, taken)
}

// leaseRange returns the range from which a host assigns addresses, with both ends set.
func leaseRange(s network.Subnet) network.Range {
	r := s.Lease
	if !r.First.IsValid() {
		r.First = s.Prefix.Addr()
	}
	if !r.Last.IsValid() {
		r.Last = lastAddr(s.Prefix)
	}
	return r
}

func rangeText(s network.Subnet) string {
	if s.Lease.IsZero() {
		return s.Prefix.String()
	}
	r := leaseRange(s)
	return fmt.Sprintf("%s-%s of %s", r.First, r.Last, s.Prefix)
}
