package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netlink"
)

// packetField is a part or property of a packet, of size bytes, that can be loaded into a register.
type packetField struct {
	size   int
	loadTo func(reg uint32) Expr
}

// metaField and payloadField are made at each start of the plugin. Inlined they would be 15 kB of it.
//
//go:noinline
func metaField(key uint32, size int) packetField {
	return packetField{size, func(reg uint32) Expr {
		return newExpr("meta", func(m *netlink.Builder) {
			m.Uint32BE(unix.NFTA_META_DREG, reg)
			m.Uint32BE(unix.NFTA_META_KEY, key)
		})
	}}
}

//go:noinline
func payloadField(base uint32, offset, size int) packetField {
	return packetField{size, func(reg uint32) Expr {
		return newExpr("payload", func(m *netlink.Builder) {
			m.Uint32BE(unix.NFTA_PAYLOAD_DREG, reg)
			m.Uint32BE(unix.NFTA_PAYLOAD_BASE, base)
			m.Uint32BE(unix.NFTA_PAYLOAD_OFFSET, uint32(offset))
			m.Uint32BE(unix.NFTA_PAYLOAD_LEN, uint32(size))
		})
	}}
}

func ctField(key uint32, size int) packetField {
	return packetField{size, func(reg uint32) Expr {
		return newExpr("ct", func(m *netlink.Builder) {
			m.Uint32BE(unix.NFTA_CT_DREG, reg)
			m.Uint32BE(unix.NFTA_CT_KEY, key)
		})
	}}
}

// fibField asks the routing table.
func fibField(size int, result, flags uint32) packetField {
	return packetField{size, func(reg uint32) Expr {
		return newExpr("fib", func(m *netlink.Builder) {
			m.Uint32BE(unix.NFTA_FIB_DREG, reg)
			m.Uint32BE(unix.NFTA_FIB_RESULT, result)
			m.Uint32BE(unix.NFTA_FIB_FLAGS, flags)
		})
	}}
}

// What rules look at.
var (
	iifname  = metaField(unix.NFT_META_IIFNAME, 16)
	oifname  = metaField(unix.NFT_META_OIFNAME, 16)
	iifkind  = metaField(metaIIFKind, 16)
	iiftype  = metaField(unix.NFT_META_IIFTYPE, 2)
	oiftype  = metaField(unix.NFT_META_OIFTYPE, 2)
	nfproto  = metaField(unix.NFT_META_NFPROTO, 1)
	l4proto  = metaField(unix.NFT_META_L4PROTO, 1)
	protocol = metaField(unix.NFT_META_PROTOCOL, 2) // EtherType
	skuid    = metaField(unix.NFT_META_SKUID, 4)    // user of the process that sends

	ipSaddr  = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 12, 4)
	ipDaddr  = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 4)
	ip6Saddr = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 16)
	ip6Daddr = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16)
	// First bytes, for prefixes of 8 bits.
	ipSaddrFirst  = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 12, 1)
	ipDaddrFirst  = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 1)
	ip6DaddrFirst = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 1)

	dport      = payloadField(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
	vni        = payloadField(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 12, 3) // behind UDP's 8 bytes (RFC 7348, section 5)
	etherDaddr = payloadField(unix.NFT_PAYLOAD_LL_HEADER, 0, 6)
	etherSaddr = payloadField(unix.NFT_PAYLOAD_LL_HEADER, 6, 6)

	probeMagic   = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 0, 8) // docs/design/tunnel-probe.md
	vlanTag      = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 0, 2)
	arpSenderMAC = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 6) // RFC 826, for Ethernet and IPv4
	arpSenderIP  = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 14, 4)
	arpTargetIP  = payloadField(unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 4)
	icmp6Type    = payloadField(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1)
	ndTarget     = payloadField(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16) // RFC 4861, sections 4.3 and 4.4

	ctState     = ctField(unix.NFT_CT_STATE, 4)
	ctStatus    = ctField(unix.NFT_CT_STATUS, 4)
	ctDirection = ctField(unix.NFT_CT_DIRECTION, 1) // 0 is that of the first packet

	// fibDaddrType is that of the destination address (linux/rtnetlink.h, RTN_).
	fibDaddrType = fibField(4, unix.NFT_FIB_RESULT_ADDRTYPE, unix.NFTA_FIB_F_DADDR)
	// fibSaddrType is that of the source address.
	fibSaddrType = fibField(4, unix.NFT_FIB_RESULT_ADDRTYPE, unix.NFTA_FIB_F_SADDR)
	// fibDaddrIif is 1 if the way to the destination is by the device that the packet came from.
	// The kernel stores a byte, but nft 1.0 and 1.1.3 can list four only; 1.1.7 knows both.
	fibDaddrIif = fibField(4, unix.NFT_FIB_RESULT_OIF, unix.NFTA_FIB_F_DADDR|unix.NFTA_FIB_F_IIF|unix.NFTA_FIB_F_PRESENT)
)

// EtherTypes (IEEE 802 numbers).
const (
	EtherIPv4 = 0x0800
	EtherARP  = 0x0806
	EtherVLAN = 0x8100
	EtherIPv6 = 0x86dd
	// etherProbe is local experimental EtherType 1.
	etherProbe = 0x88b5
	EtherQinQ  = 0x88a8
)

// EtherType matches a frame's EtherType.
func EtherType(t uint16) []Expr { return match(protocol, binary.BigEndian.AppendUint16(nil, t)...) }

// EtherDestinationIn matches frames to a MAC in the set. Without the device's type nft does not
// list the match by its name.
func EtherDestinationIn(set string) []Expr {
	const ether = 1 // ARPHRD_ETHER
	return append(match(iiftype, binary.NativeEndian.AppendUint16(nil, ether)...), inSet(set, etherDaddr)...)
}

// NotICMPv6 matches packets of any other transport protocol.
func NotICMPv6() []Expr { return matchBy(l4proto, unix.NFT_CMP_NEQ, []byte{unix.IPPROTO_ICMPV6}) }
