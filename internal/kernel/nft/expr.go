package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netlink"
)

// An expr is one step of a rule, as the kernel runs it (struct nft_expr).
type Expr func(*netlink.Builder)

// register is the first of the 32-bit registers (NFT_REG32_00); a value fills as many as it needs.
const register = unix.NFT_REG32_00

// newExpr is not inlined: it would be, closures and all, in some three hundred places where the
// rules are made, which is 140 kB of the plugin. What calls it for many rules is not either: 20 kB.
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

// loadAll puts several loads side by side in registers, each in a multiple of four bytes (nft's "a
// . b").
func loadAll(loads []packetField) []Expr {
	var exprs []Expr
	reg := uint32(register)
	for _, l := range loads {
		exprs = append(exprs, l.loadTo(reg))
		reg += uint32(l.size+3) / 4
	}
	return exprs
}

// match compares for equality. Inlined it would be 14 kB of the plugin.
//
//go:noinline
func match(l packetField, value ...byte) []Expr { return matchBy(l, unix.NFT_CMP_EQ, value) }

// matchBy compares by an operator (NFT_CMP_).
func matchBy(l packetField, op uint32, value []byte) []Expr {
	return []Expr{l.loadTo(register), compareRegister(op, value)}
}

// matchName compares with a name, which fills its register with zeros.
//
//go:noinline
func matchName(l packetField, name string) []Expr {
	return match(l, append([]byte(name), make([]byte, l.size-len(name))...)...)
}

// notName is the opposite of matchName.
func notName(l packetField, name string) []Expr {
	return matchBy(l, unix.NFT_CMP_NEQ, append([]byte(name), make([]byte, l.size-len(name))...))
}

// matchRange compares with a range, both ends included.
func matchRange(l packetField, first, last byte) []Expr {
	return append(matchBy(l, unix.NFT_CMP_GTE, []byte{first}), matchBy(l, unix.NFT_CMP_LTE, []byte{last})...)
}

// matchMasked compares the bits in the mask.
func matchMasked(l packetField, mask []byte, op uint32, value []byte) []Expr {
	return []Expr{l.loadTo(register), newExpr("bitwise", func(m *netlink.Builder) {
		m.Uint32BE(unix.NFTA_BITWISE_SREG, register)
		m.Uint32BE(unix.NFTA_BITWISE_DREG, register)
		m.Uint32BE(unix.NFTA_BITWISE_LEN, uint32(len(mask)))
		m.Nest(unix.NFTA_BITWISE_MASK, func() { m.Bytes(unix.NFTA_DATA_VALUE, mask) })
		m.Nest(unix.NFTA_BITWISE_XOR, func() { m.Bytes(unix.NFTA_DATA_VALUE, make([]byte, len(mask))) })
	}), compareRegister(op, value)}
}

// matchBit tests a bit of a number of four bytes in the machine's byte order.
//
//go:noinline
func matchBit(l packetField, bit uint32) []Expr {
	return matchMasked(l, native32(bit), unix.NFT_CMP_NEQ, make([]byte, 4))
}

// compareRegister compares what is in the register already.
func compareRegister(op uint32, value []byte) Expr {
	return newExpr("cmp", func(m *netlink.Builder) {
		m.Uint32BE(unix.NFTA_CMP_SREG, register)
		m.Uint32BE(unix.NFTA_CMP_OP, op)
		m.Nest(unix.NFTA_CMP_DATA, func() { m.Bytes(unix.NFTA_DATA_VALUE, value) })
	})
}

// inSet matches what is in a set (nft's "a . b @set").
func inSet(set string, loads ...packetField) []Expr {
	return append(loadAll(loads), lookUp(set, 0, noRegister))
}

// notInSet matches what is not.
func notInSet(set string, loads ...packetField) []Expr {
	return append(loadAll(loads), lookUp(set, unix.NFT_LOOKUP_F_INV, noRegister))
}

// vmap follows the verdict that a map has.
func vmap(name string, loads ...packetField) []Expr {
	return append(loadAll(loads), lookUp(name, 0, unix.NFT_REG_VERDICT))
}

// dnatByMap rewrites the destination to the address and port that a map has.
func dnatByMap(family uint32, name string, loads ...packetField) []Expr {
	return append(loadAll(loads), lookUp(name, 0, register), nat(unix.NFT_NAT_DNAT, family, true))
}

// snatByMap rewrites the source to the address that a map has.
func snatByMap(family uint32, name string, loads ...packetField) []Expr {
	return append(loadAll(loads), lookUp(name, 0, register), nat(unix.NFT_NAT_SNAT, family, false))
}

// noRegister stands for a lookup without a value.
const noRegister = -1

// lookUp asks a set for what is in the registers. A map's value goes to the register dreg.
func lookUp(set string, flags uint32, dreg int64) Expr {
	return newExpr("lookup", func(m *netlink.Builder) {
		m.Text(unix.NFTA_LOOKUP_SET, set)
		m.Uint32BE(unix.NFTA_LOOKUP_SREG, register)
		if dreg != noRegister {
			m.Uint32BE(unix.NFTA_LOOKUP_DREG, uint32(dreg))
		}
		if flags != 0 {
			m.Uint32BE(unix.NFTA_LOOKUP_FLAGS, flags)
		}
	})
}

// nat rewrites an address to the one in the registers, and if withPort says so a port to the one
// behind it.
func nat(typ, family uint32, withPort bool) Expr {
	return newExpr("nat", func(m *netlink.Builder) {
		m.Uint32BE(unix.NFTA_NAT_TYPE, typ)
		m.Uint32BE(unix.NFTA_NAT_FAMILY, family)
		m.Uint32BE(unix.NFTA_NAT_REG_ADDR_MIN, register)
		if withPort {
			behind := uint32(1) // registers that an address fills
			if family == ipv6 {
				behind = 4
			}
			m.Uint32BE(unix.NFTA_NAT_REG_PROTO_MIN, register+behind)
		}
	})
}

// masquerade rewrites the source to an address of the device that the packet leaves by.
//
//go:noinline
func masquerade() []Expr { return []Expr{newExpr("masq", func(*netlink.Builder) {})} }

// notrack keeps connection tracking from the packet.
//
//go:noinline
func notrack() []Expr { return []Expr{newExpr("notrack", func(*netlink.Builder) {})} }

func accept() []Expr { return verdict(1, "") } // NF_ACCEPT

// returnToCaller goes back to the chain that jumped here.
func returnToCaller() []Expr { return verdict(unix.NFT_RETURN, "") }

// drop counts what it drops: in a search for a fault, a counter that grows is the first hint.
func drop() []Expr {
	return append([]Expr{newExpr("counter", func(*netlink.Builder) {})}, verdict(0, "")...) // NF_DROP
}

// Jump goes on in another chain, and comes back.
func Jump(chain string) []Expr { return verdict(unix.NFT_JUMP, chain) }

// gotoChain goes on in another chain, and does not come back.
func gotoChain(chain string) []Expr { return verdict(unix.NFT_GOTO, chain) }

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

// ForwardTo sends the packet out by the device of that index (nft's "fwd to").
func ForwardTo(index uint32) []Expr {
	return []Expr{newExpr("immediate", func(m *netlink.Builder) {
		m.Uint32BE(unix.NFTA_IMMEDIATE_DREG, register)
		m.Nest(unix.NFTA_IMMEDIATE_DATA, func() { m.Bytes(unix.NFTA_DATA_VALUE, native32(index)) })
	}), newExpr("fwd", func(m *netlink.Builder) { m.Uint32BE(unix.NFTA_FWD_SREG_DEV, register) })}
}

func native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
