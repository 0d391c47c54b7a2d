package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Of linux/netfilter/nf_tables.h, where package unix lacks them.
const (
	tableUserdata   = 6  // NFTA_TABLE_USERDATA
	setUserdata     = 13 // NFTA_SET_USERDATA
	setDescConcat   = 2  // NFTA_SET_DESC_CONCAT
	setFieldLen     = 1  // NFTA_SET_FIELD_LEN
	setInterval     = 0x4
	setMap          = 0x8
	setConcat       = 0x80
	elemKeyEnd      = 10 // NFTA_SET_ELEM_KEY_END
	elemIntervalEnd = 1  // NFT_SET_ELEM_INTERVAL_END
	metaIIFKind     = 26 // NFT_META_IIFKIND
)

// Table is an nftables table as it should be.
type Table struct {
	Family kernel.Family
	Name   string
	// Version changes with the rules. It is their Hash, which a test computes: to compute it at
	// each container start would cost more than to read the rules.
	Version    string
	RestoredBy string // what restores the rules, for the comment
	Sets       []Set
	Chains     []Chain
}

// Set declares a set, or with values a map.
type Set struct {
	kernel.Set
	Comment string
	Key     []Field // one or several side by side
	Value   []Field // of a map
	Ranges  bool    // keys are ranges
}

// Chain is a base chain if it has a hook.
type Chain struct {
	Name  string
	Hook  *Hook
	Rules []Rule
}

// Hook is where a base chain hooks into the kernel.
type Hook struct {
	Type     string // as nft's "type"
	Number   uint32
	Priority int32
	Device   string // in family netdev
}

// Rule is a comment with what it consists of.
type Rule struct {
	Comment string   // unique in its chain
	Steps   [][]Expr // matches, then statements
}

func rule(comment string, steps ...[]Expr) Rule { return Rule{comment, steps} }

// Field is a part of a key or value.
type Field struct {
	id   uint32 // type, by nft's own numbers (enum datatypes)
	size int    // bytes
	// udata says by which expression the field is read, for keys whose type has no name (nft's
	// expr_ops.build_udata).
	udata []byte
}

// The types of fields.
var (
	typeIP4      = Field{id: 7, size: 4}
	typeIP6      = Field{id: 8, size: 16}
	TypeEther    = Field{id: 9, size: 6}
	typeProto    = Field{id: 12, size: 1}
	typePort     = Field{id: 13, size: 2}
	typeUser     = Field{id: 24, size: 4}
	typeDevice   = Field{id: 41, size: 16}
	typeVNI      = Field{id: 4, size: 3, udata: payloadUdata(0, 0, 3, 96, 24)}   // @th,96,24
	readSaddr4   = Field{id: 7, size: 4, udata: payloadUdata(12, 11)}            // ip saddr
	readSaddr6   = Field{id: 8, size: 16, udata: payloadUdata(13, 8)}            // ip6 saddr
	readDaddr4   = Field{id: 7, size: 4, udata: payloadUdata(12, 12)}            // ip daddr
	readDaddr6   = Field{id: 8, size: 16, udata: payloadUdata(13, 9)}            // ip6 daddr
	readDport    = Field{id: 13, size: 2, udata: payloadUdata(6, 2)}             // udp dport
	readDevice   = Field{id: 41, size: 16, udata: metaUdata(6)}                  // iifname
	typeTarget   = Field{id: 4, size: 16, udata: payloadUdata(0, 0, 3, 64, 128)} // @th,64,128
	verdictValue = []Field{{id: 0xffffff00}}                                     // NFT_DATA_VERDICT
)

// metaUdata names something about a packet by its number (NFT_META_).
func metaUdata(key uint32) []byte {
	const metaExpr = 9 // EXPR_META
	return append(userdataTLV(0, native32(metaExpr)), userdataTLV(1, userdataTLV(0, native32(key)))...)
}

// payloadUdata names a header field by nft's numbers of the protocol and the field in it, or for 0
// by base, offset and length in bits.
func payloadUdata(numbers ...uint32) []byte {
	var b []byte
	for i, n := range numbers {
		b = append(b, userdataTLV(byte(i), native32(n))...)
	}
	const payloadExpr = 7 // EXPR_PAYLOAD
	return append(userdataTLV(0, native32(payloadExpr)), userdataTLV(1, b)...)
}

// userdataTLV is a type, a length and a value. Inlined it would be 12 kB of the plugin.
//
//go:noinline
func userdataTLV(typ byte, value []byte) []byte {
	return append([]byte{typ, byte(len(value))}, value...)
}

// userdata is what nft reads back to show the set as it was declared.
func (s Set) userdata() []byte {
	order := uint32(0) // of a concatenation: none
	if len(s.Key) == 1 {
		order = 2 // big endian
		if id := s.Key[0].id; id == typeDevice.id || id == typeUser.id {
			order = 1 // the machine's
		}
	}
	b := userdataTLV(0, native32(order))
	if s.Key[0].udata != nil {
		const concatExpr = 13 // EXPR_CONCAT
		var parts []byte
		for i, f := range s.Key {
			parts = append(parts, userdataTLV(byte(i), f.udata)...)
		}
		b = append(b, userdataTLV(3, append(userdataTLV(0, native32(concatExpr)),
			userdataTLV(1, parts)...))...) // NFTNL_UDATA_SET_KEY_TYPEOF
	}
	return append(b, commentUserdata(udSetComment, s.Comment)...)
}

// joinedTypes joins the types of the fields, six bits each.
func joinedTypes(fields []Field) uint32 {
	var n uint32
	for _, f := range fields {
		n = n<<6 | f.id
	}
	return n
}

func joinedSize(fields []Field) int {
	if len(fields) == 1 {
		return fields[0].size
	}
	n := 0
	for _, f := range fields {
		n += (f.size + 3) &^ 3
	}
	return n
}

// appendTo appends what makes the set. A set that is there stays, if it is the same.
func (s Set) appendTo(tx *Transaction, table string, number uint32) {
	tx.add("add set "+s.Name, unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, s.Family, func(b *netlink.Builder) {
		b.Text(unix.NFTA_SET_TABLE, table)
		b.Text(unix.NFTA_SET_NAME, s.Name)
		b.Uint32BE(unix.NFTA_SET_FLAGS, s.flags())
		b.Uint32BE(unix.NFTA_SET_KEY_TYPE, joinedTypes(s.Key))
		b.Uint32BE(unix.NFTA_SET_KEY_LEN, uint32(joinedSize(s.Key)))
		if s.Value != nil {
			b.Uint32BE(unix.NFTA_SET_DATA_TYPE, joinedTypes(s.Value))
			b.Uint32BE(unix.NFTA_SET_DATA_LEN, uint32(joinedSize(s.Value)))
		}
		b.Uint32BE(unix.NFTA_SET_ID, number)
		b.Bytes(setUserdata, s.userdata())
		if s.flags()&setConcat != 0 {
			b.Nest(unix.NFTA_SET_DESC, func() { b.Nest(setDescConcat, func() { s.appendFieldLengths(b) }) })
		}
	})
}

// appendFieldLengths tells the kernel where in a key of several ranges each begins.
func (s Set) appendFieldLengths(b *netlink.Builder) {
	for _, f := range s.Key {
		b.Nest(unix.NFTA_LIST_ELEM, func() { b.Uint32BE(setFieldLen, uint32(f.size)) })
	}
}

func (s Set) flags() uint32 {
	var flags uint32
	if s.Value != nil {
		flags |= setMap
	}
	if s.Ranges {
		flags |= setInterval
		if len(s.Key) > 1 {
			flags |= setConcat
		}
	}
	return flags
}

// Hash returns what Version should be: a hash of the rules, those of other chains included that
// come and go.
func (t Table) Hash(others ...Chain) string {
	tx := new(Transaction)
	tx.addTable(t, "")
	tx.AddChains(t, others...)
	sum := sha256.Sum256(tx.messages.Data())
	return hex.EncodeToString(sum[:6])
}

// Comment is the table's comment. It tells this program's rules from those of another version.
func (t Table) Comment() string {
	return "rules " + t.Version + ofDriver + t.RestoredBy + " restores them"
}

// ofDriver is in the comments of all versions.
const ofDriver = " of vxlan-driver; "

// isOtherVersion tells whether a table's comment is that of another version. A table without one is
// nobody's work, or somebody's by hand.
func (t Table) isOtherVersion(comment string) bool {
	return comment != t.Comment() && strings.Contains(comment, ofDriver)
}

func (c Chain) appendTo(tx *Transaction, t Table) {
	tx.add("add chain "+c.Name, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, t.Family, func(b *netlink.Builder) {
		b.Text(unix.NFTA_CHAIN_TABLE, t.Name)
		b.Text(unix.NFTA_CHAIN_NAME, c.Name)
		if c.Hook == nil {
			return
		}
		b.Nest(unix.NFTA_CHAIN_HOOK, func() {
			b.Uint32BE(unix.NFTA_HOOK_HOOKNUM, c.Hook.Number)
			b.Uint32BE(unix.NFTA_HOOK_PRIORITY, uint32(c.Hook.Priority))
			if c.Hook.Device != "" {
				b.Text(unix.NFTA_HOOK_DEV, c.Hook.Device)
			}
		})
		b.Uint32BE(unix.NFTA_CHAIN_POLICY, 1) // NF_ACCEPT
		b.Text(unix.NFTA_CHAIN_TYPE, c.Hook.Type)
	})
}

func (r Rule) appendTo(tx *Transaction, t Table, chain string) {
	r.addTo(tx, t, chain, unix.NLM_F_APPEND)
}

// insertInto makes it the first rule of the chain.
func (r Rule) insertInto(tx *Transaction, t Table, chain string) { r.addTo(tx, t, chain, 0) }

func (r Rule) addTo(tx *Transaction, t Table, chain string, where uint16) {
	tx.add("add rule "+chain+" ("+r.Comment+")", unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|where, t.Family,
		func(b *netlink.Builder) {
			b.Text(unix.NFTA_RULE_TABLE, t.Name)
			b.Text(unix.NFTA_RULE_CHAIN, chain)
			b.Nest(unix.NFTA_RULE_EXPRESSIONS, func() {
				for _, e := range slices.Concat(r.Steps...) {
					e(b)
				}
			})
			b.Bytes(unix.NFTA_RULE_USERDATA, commentUserdata(udComment, r.Comment))
		})
}
