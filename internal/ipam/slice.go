package ipam

import (
	"fmt"
	"math/big"
	"math/bits"
	"net/netip"
	"slices"

	"vxlan-driver/internal/network"
)

// minSliceBits is the size of the smallest slice, as a power of two: the network
// address, the gateway, the host's own address and one container's.
const minSliceBits = 2

// Slice returns the part of the subnet from which the host with the VTEP self
// hands out addresses, so that hosts that never talk about it cannot hand out
// the same one. The subnet is cut into as many equal parts as there are VTEPs, or
// hosts if that is more, rounded up to a power of two; each VTEP gets the part of
// its rank. Every host comes to the same cut from the same list, whatever its order.
//
// Never in a slice are the network address, the broadcast address, the gateway
// and one address behind it, which is kept for the host itself.
func Slice(s network.Subnet, vteps []netip.Addr, self netip.Addr, hosts int) (network.Range, error) {
	sorted := slices.SortedFunc(slices.Values(append(slices.Clone(vteps), self)), netip.Addr.Compare)
	sorted = slices.Compact(sorted)
	rank, _ := slices.BinarySearchFunc(sorted, self, netip.Addr.Compare)
	if hosts > 0 && hosts < len(sorted) {
		return network.Range{}, fmt.Errorf("cannot be divided among %d hosts: max_hosts is %d", len(sorted), hosts)
	}

	partBits := bits.Len(uint(max(len(sorted), hosts) - 1)) // of the number of parts
	hostBits := s.Prefix.Addr().BitLen() - s.Prefix.Bits()
	if hostBits < partBits+minSliceBits {
		return network.Range{}, fmt.Errorf("is too small to give each of %d hosts addresses of its own; the smallest that works is a /%d, or give every host its own --ip-range",
			max(len(sorted), hosts), s.Prefix.Addr().BitLen()-partBits-minSliceBits)
	}
	sliceBits := uint(hostBits - partBits)
	part := s
	part.Lease.First = offset(s.Prefix.Addr(), new(big.Int).Lsh(big.NewInt(int64(rank)), sliceBits))
	part.Lease.Last = last(netip.PrefixFrom(part.Lease.First, s.Prefix.Bits()+partBits))
	lease, err := reserve(part)
	if err != nil {
		return lease, err
	}
	return without(lease, s.Gateway), nil
}

// without cuts the gateway out of a range, keeping the longer side.
func without(r network.Range, gateway netip.Addr) network.Range {
	if !gateway.IsValid() || gateway.Less(r.First) || r.Last.Less(gateway) {
		return r
	}
	before, after := distance(r.First, gateway), distance(gateway, r.Last)
	if before.Cmp(after) > 0 {
		r.Last = gateway.Prev()
	} else {
		r.First = gateway.Next()
	}
	return r
}

// offset returns a + n.
func offset(a netip.Addr, n *big.Int) netip.Addr {
	sum := new(big.Int).Add(new(big.Int).SetBytes(a.AsSlice()), n)
	moved, _ := netip.AddrFromSlice(sum.FillBytes(make([]byte, a.BitLen()/8))) // the length is right
	return moved
}

// distance returns b - a.
func distance(a, b netip.Addr) *big.Int {
	return new(big.Int).Sub(new(big.Int).SetBytes(b.AsSlice()), new(big.Int).SetBytes(a.AsSlice()))
}
