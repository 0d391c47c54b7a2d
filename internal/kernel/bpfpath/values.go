package bpfpath

import (
	"encoding/binary"
	"net/netip"
)

// Flags of programsNetwork, as in programs/maps.h.
const (
	networkIPv6         = 1 // the underlay is IPv6
	networkPortSecurity = 2 // ports send from their own addresses only
	networkChecksum     = 4 // outer packets have a checksum
	networkEncrypted    = 8 // packets leave by WireGuard only
)

// tosInherit is TOS_INHERIT of programs/maps.h: outer packets have the inner one's.
const tosInherit = 1

// toAddress returns an address as the tables have it: IPv4 as ::ffff:192.0.2.1.
func toAddress(a netip.Addr) (words programsAddress) {
	bytes := a.As16()
	for i := range words.Word {
		words.Word[i] = binary.NativeEndian.Uint32(bytes[4*i:])
	}
	return words
}

// fromAddress is the reverse of toAddress.
func fromAddress(words programsAddress) netip.Addr {
	var bytes [16]byte
	for i, w := range words.Word {
		binary.NativeEndian.PutUint32(bytes[4*i:], w)
	}
	return netip.AddrFrom16(bytes).Unmap()
}
