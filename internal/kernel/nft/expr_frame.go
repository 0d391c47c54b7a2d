package nft

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// EtherTypes (IEEE 802 numbers).
const (
	EtherIPv4 = 0x0800
	EtherARP  = 0x0806
	EtherVLAN = 0x8100
	EtherIPv6 = 0x86dd
	EtherQinQ = 0x88a8
)

// EtherType matches a frame's EtherType.
func EtherType(t uint16) []Expr { return is(protocol, binary.BigEndian.AppendUint16(nil, t)...) }

// EtherDestinationIn matches frames to a MAC in the set. Without the device's type nft does not list the match by its
// name.
func EtherDestinationIn(set string) []Expr {
	const ether = 1 // ARPHRD_ETHER
	return slices.Concat(is(iiftype, binary.NativeEndian.AppendUint16(nil, ether)...), key(etherDaddr), in(set))
}

// NotICMPv6 matches packets of any other transport protocol.
func NotICMPv6() []Expr { return compare(l4proto, unix.NFT_CMP_NEQ, []byte{unix.IPPROTO_ICMPV6}) }

// Jump goes on in another chain, and comes back.
func Jump(chain string) []Expr { return verdict(unix.NFT_JUMP, chain) }
