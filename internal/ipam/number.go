package ipam

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// number is an address as a number, or the distance of two, in 128 bits. Package math/big would make
// the plugin 30 kB larger.
type number struct{ high, low uint64 }

func numberOf(a netip.Addr) number {
	b := a.As16() // IPv4 has the same 96 bits before each address
	return number{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (n number) add(o number) number {
	low, carry := bits.Add64(n.low, o.low, 0)
	high, _ := bits.Add64(n.high, o.high, carry)
	return number{high, low}
}

func (n number) subtract(o number) number {
	low, borrow := bits.Sub64(n.low, o.low, 0)
	high, _ := bits.Sub64(n.high, o.high, borrow)
	return number{high, low}
}

func (n number) compare(o number) int {
	return cmp.Or(cmp.Compare(n.high, o.high), cmp.Compare(n.low, o.low))
}

func (n number) shiftLeft(by uint) number {
	return number{n.high<<by | n.low>>(64-by) | n.low<<(by-64), n.low << by}
}

func (n number) shiftRight(by uint) number {
	return number{n.high >> by, n.low>>by | n.high<<(64-by) | n.high>>(by-64)}
}

// addOffset returns a + n, of a's family.
func addOffset(a netip.Addr, n number) netip.Addr {
	sum := numberOf(a).add(n)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], sum.high)
	binary.BigEndian.PutUint64(b[8:], sum.low)
	moved := netip.AddrFrom16(b)
	if a.Is4() {
		return moved.Unmap()
	}
	return moved
}

// distance returns b - a, which are of one family.
func distance(a, b netip.Addr) number { return numberOf(b).subtract(numberOf(a)) }
