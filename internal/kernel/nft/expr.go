package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netlink"
)

// An expr is one step of a rule, as the kernel runs it (struct nft_expr).
type Expr func(*netlink.Builder)

// register is the first of the 32-bit registers (NFT_REG32_00); a value fills as
// many as it needs.
const register = unix.NFT_REG32_00

// newExpr is not inlined: it would be, closures and all, in some three hundred places
// where the rules are made, which is 140 kB of the plugin.
//
//go:noinline
func newExpr(name string, fill func(*netlink.Builder)) Expr {
	return func(m *netlink.Builder) {
		m.Nest(unix.NFTA_LIST_ELEM, func() {
			m.Text(unix.NFTA_EXPR_NAME, name)
			m.Nest(unix.NFTA_EXPR_DATA, func() { fill(m) })
		})
	}
}

// load is something of a packet, of size bytes, that can be put in a register.
type load struct {
	size int
	to   func(reg uint32) Expr
}

func meta(key uint32, size int) load {
	return load{size, func(reg uint32) Expr {
		return newExpr("meta", func(m *netlink.Builder) {
			m.Uint32BE(unix.NFTA_META_DREG, reg)
			m.Uint32BE(unix.NFTA_META_KEY, key)
		})
	}}
}

func payload(base uint32, offset, size int) load {
	return load{size, func(reg uint32) Expr {
		return newExpr("payload", func(m *netlink.Builder) {
			m.Uint32BE(unix.NFTA_PAYLOAD_DREG, reg)
			m.Uint32BE(unix.NFTA_PAYLOAD_BASE, base)
			m.Uint32BE(unix.NFTA_PAYLOAD_OFFSET, uint32(offset))
			m.Uint32BE(unix.NFTA_PAYLOAD_LEN, uint32(size))
		})
	}}
}

func ct(key uint32, size int) load {
	return load{size, func(reg uint32) Expr {
		return newExpr("ct", func(m *netlink.Builder) {
			m.Uint32BE(unix.NFTA_CT_DREG, reg)
			m.Uint32BE(unix.NFTA_CT_KEY, key)
		})
	}}
}

// What rules look at.
var (
	iifname  = meta(unix.NFT_META_IIFNAME, 16)
	oifname  = meta(unix.NFT_META_OIFNAME, 16)
	iifkind  = meta(metaIIFKind, 16)
	iiftype  = meta(unix.NFT_META_IIFTYPE, 2)
	nfproto  = meta(unix.NFT_META_NFPROTO, 1)
	l4proto  = meta(unix.NFT_META_L4PROTO, 1)
	protocol = meta(unix.NFT_META_PROTOCOL, 2) // EtherType

	ipSaddr  = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 12, 4)
	ipDaddr  = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 4)
	ip6Saddr = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 16)
	ip6Daddr = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16)
	// First bytes, for prefixes of 8 bits.
	ipSaddrFirst  = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 12, 1)
	ipDaddrFirst  = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 16, 1)
	ip6DaddrFirst = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 1)

	dport      = payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2)
	vni        = payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 12, 3) // behind UDP's 8 bytes (RFC 7348, section 5)
	etherDaddr = payload(unix.NFT_PAYLOAD_LL_HEADER, 0, 6)
	etherSaddr = payload(unix.NFT_PAYLOAD_LL_HEADER, 6, 6)

	vlanTag      = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 0, 2)
	arpSenderMAC = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 6) // RFC 826, for Ethernet and IPv4
	arpSenderIP  = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 14, 4)
	arpTargetIP  = payload(unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 4)
	icmp6Type    = payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1)
	ndTarget     = payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 8, 16) // RFC 4861, sections 4.3 and 4.4

	ctState     = ct(unix.NFT_CT_STATE, 4)
	ctStatus    = ct(unix.NFT_CT_STATUS, 4)
	ctDirection = ct(unix.NFT_CT_DIRECTION, 1) // 0 is that of the first packet

	// addrType is that of the destination address (linux/rtnetlink.h, RTN_).
	addrType = fib(4, unix.NFT_FIB_RESULT_ADDRTYPE, unix.NFTA_FIB_F_DADDR)
	// goesBack is 1 if the way to the destination is by the device that the packet came from. The kernel
	// stores a byte, but nft 1.0 and 1.1.3 can list four only; 1.1.7 knows both.
	goesBack = fib(4, unix.NFT_FIB_RESULT_OIF, unix.NFTA_FIB_F_DADDR|unix.NFTA_FIB_F_IIF|unix.NFTA_FIB_F_PRESENT)
)

// fib asks the routing table.
func fib(size int, result, flags uint32) load {
	return load{size, func(reg uint32) Expr {
		return newExpr("fib", func(m *netlink.Builder) {
			m.Uint32BE(unix.NFTA_FIB_DREG, reg)
			m.Uint32BE(unix.NFTA_FIB_RESULT, result)
			m.Uint32BE(unix.NFTA_FIB_FLAGS, flags)
		})
	}}
}

// key puts several loads side by side, each in a multiple of four bytes.
func key(loads ...load) []Expr {
	var exprs []Expr
	reg := uint32(register)
	for _, l := range loads {
		exprs = append(exprs, l.to(reg))
		reg += uint32(l.size+3) / 4
	}
	return exprs
}

// is compares.
func is(l load, value ...byte) []Expr { return compare(l, unix.NFT_CMP_EQ, value) }

func compare(l load, op uint32, value []byte) []Expr {
	return []Expr{l.to(register), registerIs(op, value)}
}

// registerIs compares what is in the register already.
func registerIs(op uint32, value []byte) Expr {
	return newExpr("cmp", func(m *netlink.Builder) {
		m.Uint32BE(unix.NFTA_CMP_SREG, register)
		m.Uint32BE(unix.NFTA_CMP_OP, op)
		m.Nest(unix.NFTA_CMP_DATA, func() { m.Bytes(unix.NFTA_DATA_VALUE, value) })
	})
}

// between compares with a range, both ends included.
func between(l load, first, last byte) []Expr {
	return append(compare(l, unix.NFT_CMP_GTE, []byte{first}), compare(l, unix.NFT_CMP_LTE, []byte{last})...)
}

// multicast4 matches 224.0.0.0/4.
func multicast4() []Expr {
	return append(masked(ipDaddr, []byte{0xf0, 0, 0, 0}), registerIs(unix.NFT_CMP_EQ, []byte{0xe0, 0, 0, 0}))
}

func masked(l load, mask []byte) []Expr {
	return []Expr{l.to(register), newExpr("bitwise", func(m *netlink.Builder) {
		m.Uint32BE(unix.NFTA_BITWISE_SREG, register)
		m.Uint32BE(unix.NFTA_BITWISE_DREG, register)
		m.Uint32BE(unix.NFTA_BITWISE_LEN, uint32(len(mask)))
		m.Nest(unix.NFTA_BITWISE_MASK, func() { m.Bytes(unix.NFTA_DATA_VALUE, mask) })
		m.Nest(unix.NFTA_BITWISE_XOR, func() { m.Bytes(unix.NFTA_DATA_VALUE, make([]byte, len(mask))) })
	})}
}

// hasBit tests a bit of a number in the machine's byte order.
func hasBit(l load, bit uint32) []Expr {
	mask := binary.NativeEndian.AppendUint32(nil, bit)
	return append(masked(l, mask), registerIs(unix.NFT_CMP_NEQ, make([]byte, 4)))
}

// lookup asks a set for what key put in the registers. A map's value replaces it;
// a verdict map's verdict is followed.
func lookup(set string, flags uint32, dreg int64) Expr {
	return newExpr("lookup", func(m *netlink.Builder) {
		m.Text(unix.NFTA_LOOKUP_SET, set)
		m.Uint32BE(unix.NFTA_LOOKUP_SREG, register)
		if dreg >= 0 {
			m.Uint32BE(unix.NFTA_LOOKUP_DREG, uint32(dreg))
		}
		if flags != 0 {
			m.Uint32BE(unix.NFTA_LOOKUP_FLAGS, flags)
		}
	})
}

func in(set string) []Expr    { return []Expr{lookup(set, 0, -1)} }
func notIn(set string) []Expr { return []Expr{lookup(set, unix.NFT_LOOKUP_F_INV, -1)} }
func mapped(set string) []Expr {
	return []Expr{lookup(set, 0, register)}
}
func verdictOf(set string) []Expr { return []Expr{lookup(set, 0, unix.NFT_REG_VERDICT)} }

func verdict(code int32, chain string) []Expr {
	return []Expr{newExpr("immediate", func(m *netlink.Builder) {
		m.Uint32BE(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		m.Nest(unix.NFTA_IMMEDIATE_DATA, func() { appendVerdict(m, code, chain) })
	})}
}

func appendVerdict(m *netlink.Builder, code int32, chain string) {
	m.Nest(unix.NFTA_DATA_VERDICT, func() {
		m.Uint32BE(unix.NFTA_VERDICT_CODE, uint32(code))
		if chain != "" {
			m.Text(unix.NFTA_VERDICT_CHAIN, chain)
		}
	})
}

func accept() []Expr { return verdict(1, "") } // NF_ACCEPT
func gotoChain(chain string) []Expr {
	return verdict(unix.NFT_GOTO, chain)
}

// drop counts what it drops: a number that grows is the first thing to look for.
func drop() []Expr {
	return append([]Expr{newExpr("counter", func(*netlink.Builder) {})}, verdict(0, "")...) // NF_DROP
}

func notrack() []Expr    { return []Expr{newExpr("notrack", func(*netlink.Builder) {})} }
func masquerade() []Expr { return []Expr{newExpr("masq", func(*netlink.Builder) {})} }

// ForwardTo sends the packet out by the device of that index (nft's "fwd to").
func ForwardTo(index uint32) []Expr {
	return []Expr{newExpr("immediate", func(m *netlink.Builder) {
		m.Uint32BE(unix.NFTA_IMMEDIATE_DREG, register)
		m.Nest(unix.NFTA_IMMEDIATE_DATA, func() { m.Bytes(unix.NFTA_DATA_VALUE, native32(index)) })
	}), newExpr("fwd", func(m *netlink.Builder) { m.Uint32BE(unix.NFTA_FWD_SREG_DEV, register) })}
}

// nat rewrites an address to the one in the registers, and if withPort says so a
// port to the one behind it.
func nat(typ uint32, family uint32, addrSize int, withPort bool) []Expr {
	return []Expr{newExpr("nat", func(m *netlink.Builder) {
		m.Uint32BE(unix.NFTA_NAT_TYPE, typ)
		m.Uint32BE(unix.NFTA_NAT_FAMILY, family)
		m.Uint32BE(unix.NFTA_NAT_REG_ADDR_MIN, register)
		if withPort {
			m.Uint32BE(unix.NFTA_NAT_REG_PROTO_MIN, register+uint32(addrSize/4))
		}
	})}
}

// compareName compares a name, which fills its register with zeros.
func compareName(l load, name string) []Expr {
	return is(l, append([]byte(name), make([]byte, l.size-len(name))...)...)
}

func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
