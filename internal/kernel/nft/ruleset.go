package nft

import (
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// table is one of the project's tables as it should be.
type table struct {
	family kernel.Family
	name   string
	// version changes with the rules: a hash of them, as a test computes it. To
	// compute it would cost each container start more than to read the rules.
	version string
	mended  string // by whom
	sets    []set
	chains  []chain
}

// set declares a set, or with values a map.
type set struct {
	kernel.Set
	says   string  // comment
	key    []field // one or several side by side
	value  []field // of a map
	ranges bool    // keys are ranges
}

// chain is a base chain if it has a hook.
type chain struct {
	name string
	hook *hook
	rule []rule
}

type hook struct {
	kind     string // as nft's "type"
	number   uint32
	priority int32
	device   string // in family netdev
}

// rule is steps, joined, with what they are for.
type rule struct {
	says  string // comment; unique in its chain
	steps [][]expr
}

func do(says string, steps ...[]expr) rule { return rule{says, steps} }

// field is a part of a key or value.
type field struct {
	id   uint32 // type, by nft's own numbers (enum datatypes)
	size int    // bytes
	// udata says by which expression the field is read, for keys whose type has
	// no name (nft's expr_ops.build_udata).
	udata []byte
}

// The types of fields.
var (
	typeIP4      = field{id: 7, size: 4}
	typeIP6      = field{id: 8, size: 16}
	typeEther    = field{id: 9, size: 6}
	typeProto    = field{id: 12, size: 1}
	typePort     = field{id: 13, size: 2}
	typeDevice   = field{id: 41, size: 16}
	typeVNI      = field{id: 4, size: 3, udata: payloadUdata(0, 0, 3, 96, 24)}   // @th,96,24
	readSaddr4   = field{id: 7, size: 4, udata: payloadUdata(12, 11)}            // ip saddr
	readSaddr6   = field{id: 8, size: 16, udata: payloadUdata(13, 8)}            // ip6 saddr
	readDaddr4   = field{id: 7, size: 4, udata: payloadUdata(12, 12)}            // ip daddr
	readDaddr6   = field{id: 8, size: 16, udata: payloadUdata(13, 9)}            // ip6 daddr
	readDport    = field{id: 13, size: 2, udata: payloadUdata(6, 2)}             // udp dport
	readDevice   = field{id: 41, size: 16, udata: metaUdata(6)}                  // iifname
	typeTarget   = field{id: 4, size: 16, udata: payloadUdata(0, 0, 3, 64, 128)} // @th,64,128
	verdictValue = []field{{id: 0xffffff00}}                                     // NFT_DATA_VERDICT
)

// metaUdata names something about a packet by its number (NFT_META_).
func metaUdata(key uint32) []byte {
	const metaExpr = 9 // EXPR_META
	return append(tlv(0, native32(metaExpr)), tlv(1, tlv(0, native32(key)))...)
}

// payloadUdata names a header field by nft's numbers of the protocol and the
// field in it, or for 0 by base, offset and length in bits.
func payloadUdata(numbers ...uint32) []byte {
	var b []byte
	for i, n := range numbers {
		b = append(b, tlv(byte(i), native32(n))...)
	}
	const payloadExpr = 7 // EXPR_PAYLOAD
	return append(tlv(0, native32(payloadExpr)), tlv(1, b)...)
}

func tlv(typ byte, value []byte) []byte { return append([]byte{typ, byte(len(value))}, value...) }

// userdata is what nft reads back to show the set as it was declared.
func (s set) userdata() []byte {
	order := uint32(0) // of a concatenation: none
	if len(s.key) == 1 {
		order = 2 // big endian
		if s.key[0].id == typeDevice.id {
			order = 1 // the machine's
		}
	}
	b := tlv(0, native32(order))
	if s.key[0].udata != nil {
		const concatExpr = 13 // EXPR_CONCAT
		var parts []byte
		for i, f := range s.key {
			parts = append(parts, tlv(byte(i), f.udata)...)
		}
		b = append(b, tlv(3, append(tlv(0, native32(concatExpr)), tlv(1, parts)...))...) // NFTNL_UDATA_SET_KEY_TYPEOF
	}
	return append(b, comment(udSetComment, s.says)...)
}

// id joins the types of the fields, six bits each.
func id(fields []field) uint32 {
	var n uint32
	for _, f := range fields {
		n = n<<6 | f.id
	}
	return n
}

func size(fields []field) int {
	if len(fields) == 1 {
		return fields[0].size
	}
	n := 0
	for _, f := range fields {
		n += (f.size + 3) &^ 3
	}
	return n
}

// declare appends what makes the set. A set that is there stays, if it is the same.
func (s set) declare(b *batch, table string, number uint32) {
	b.add("add set "+s.Name, unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, s.Family, func() {
		b.Text(unix.NFTA_SET_TABLE, table)
		b.Text(unix.NFTA_SET_NAME, s.Name)
		b.U32BE(unix.NFTA_SET_FLAGS, s.flags())
		b.U32BE(unix.NFTA_SET_KEY_TYPE, id(s.key))
		b.U32BE(unix.NFTA_SET_KEY_LEN, uint32(size(s.key)))
		if s.value != nil {
			b.U32BE(unix.NFTA_SET_DATA_TYPE, id(s.value))
			b.U32BE(unix.NFTA_SET_DATA_LEN, uint32(size(s.value)))
		}
		b.U32BE(unix.NFTA_SET_ID, number)
		b.Bytes(setUserdata, s.userdata())
		if s.flags()&setConcat != 0 {
			b.Nest(unix.NFTA_SET_DESC, func() { b.Nest(setDescConcat, func() { s.describe(b) }) })
		}
	})
}

// describe tells the kernel where in a key of several ranges each begins.
func (s set) describe(b *batch) {
	for _, f := range s.key {
		b.Nest(unix.NFTA_LIST_ELEM, func() { b.U32BE(setFieldLen, uint32(f.size)) })
	}
}

func (s set) flags() uint32 {
	var flags uint32
	if s.value != nil {
		flags |= setMap
	}
	if s.ranges {
		flags |= setInterval
		if len(s.key) > 1 {
			flags |= setConcat
		}
	}
	return flags
}

// declare appends what makes the table with its sets, chains and rules. says is
// the table's comment.
func (t table) declare(b *batch, says string) {
	b.add("add table "+string(t.family), unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, t.family, func() {
		b.Text(unix.NFTA_TABLE_NAME, t.name)
		b.Bytes(tableUserdata, comment(udComment, says))
	})
	for i, s := range t.sets {
		s.declare(b, t.name, uint32(i+1))
	}
	t.declareChains(b, t.chains)
}

// declareChains appends what makes chains with their rules.
func (t table) declareChains(b *batch, chains []chain) {
	for _, c := range chains {
		c.declare(b, t)
	}
	for _, c := range chains {
		for _, r := range c.rule {
			r.append(b, t, c.name)
		}
	}
}

// says is the table's comment. It tells this program's rules from those of another version.
func (t table) says() string {
	return "rules " + t.version + " of vxlan-driver; " + t.mended + " restores them"
}

func (c chain) declare(b *batch, t table) {
	b.add("add chain "+c.name, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, t.family, func() {
		b.Text(unix.NFTA_CHAIN_TABLE, t.name)
		b.Text(unix.NFTA_CHAIN_NAME, c.name)
		if c.hook == nil {
			return
		}
		b.Nest(unix.NFTA_CHAIN_HOOK, func() {
			b.U32BE(unix.NFTA_HOOK_HOOKNUM, c.hook.number)
			b.U32BE(unix.NFTA_HOOK_PRIORITY, uint32(c.hook.priority))
			if c.hook.device != "" {
				b.Text(unix.NFTA_HOOK_DEV, c.hook.device)
			}
		})
		b.U32BE(unix.NFTA_CHAIN_POLICY, 1) // NF_ACCEPT
		b.Text(unix.NFTA_CHAIN_TYPE, c.hook.kind)
	})
}

func (r rule) append(b *batch, t table, chain string) {
	b.add("add rule "+chain+" ("+r.says+")", unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, t.family, func() {
		b.Text(unix.NFTA_RULE_TABLE, t.name)
		b.Text(unix.NFTA_RULE_CHAIN, chain)
		b.Nest(unix.NFTA_RULE_EXPRESSIONS, func() {
			for _, e := range slices.Concat(r.steps...) {
				e(&b.Builder)
			}
		})
		b.Bytes(unix.NFTA_RULE_USERDATA, comment(udComment, r.says))
	})
}

// find returns the declaration of a set.
func find(s kernel.Set) (set, bool) {
	for _, sets := range [][]set{inetTable.sets, bridgeTable.sets, shortcutSets} {
		for _, d := range sets {
			if d.Set == s {
				return d, true
			}
		}
	}
	return set{}, false
}
