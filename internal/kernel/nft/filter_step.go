package nft

import (
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// Of linux/netfilter/nf_tables.h, where package unix lacks them.
const (
	bitwiseOp      = 6 // NFTA_BITWISE_OP
	verdictReg     = unix.NFT_REG_VERDICT
	reg32          = unix.NFT_REG32_00
	extensionName  = 1 // NFTA_MATCH_NAME, NFTA_TARGET_NAME
	extensionInfo  = 3 // NFTA_MATCH_INFO
	ctSourceReg    = 4 // NFTA_CT_SREG
	metaSourceReg  = 3 // NFTA_META_SREG
	payloadSrcReg  = 5 // NFTA_PAYLOAD_SREG
	rangeFrom      = 3 // NFTA_RANGE_FROM_DATA
	rangeTo        = 4 // NFTA_RANGE_TO_DATA
	elemIsCatchAll = 2 // NFT_SET_ELEM_CATCHALL
)

// steps parses each expression that is understood, by its name.
var steps = map[string]func(data []byte) kernel.FilterStep{
	"meta": func(b []byte) kernel.FilterStep {
		if netlink.Find(b, metaSourceReg) != nil {
			return kernel.FilterStep{Op: kernel.StepSetMark}
		}
		return kernel.FilterStep{Op: kernel.StepMeta, Dst: regOffset(b, unix.NFTA_META_DREG),
			Key: number(b, unix.NFTA_META_KEY)}
	},
	"ct": func(b []byte) kernel.FilterStep {
		if netlink.Find(b, ctSourceReg) != nil {
			return kernel.FilterStep{Op: kernel.StepSetMark}
		}
		return kernel.FilterStep{Op: kernel.StepCT, Dst: regOffset(b, unix.NFTA_CT_DREG), Key: number(b, unix.NFTA_CT_KEY)}
	},
	"payload": func(b []byte) kernel.FilterStep {
		if netlink.Find(b, payloadSrcReg) != nil {
			return kernel.FilterStep{Op: kernel.StepNothing} // it changes the packet
		}
		return kernel.FilterStep{
			Op: kernel.StepPayload, Dst: regOffset(b, unix.NFTA_PAYLOAD_DREG), Key: number(b, unix.NFTA_PAYLOAD_BASE),
			Offset: int(number(b, unix.NFTA_PAYLOAD_OFFSET)), Len: int(number(b, unix.NFTA_PAYLOAD_LEN)),
		}
	},
	"bitwise": func(b []byte) kernel.FilterStep {
		if number(b, bitwiseOp) != 0 { // a shift
			return kernel.FilterStep{Op: kernel.StepUnknown}
		}
		return kernel.FilterStep{
			Op: kernel.StepBitwise, Src: regOffset(b, unix.NFTA_BITWISE_SREG), Dst: regOffset(b, unix.NFTA_BITWISE_DREG),
			Len:   int(number(b, unix.NFTA_BITWISE_LEN)),
			Value: netlink.Find(b, unix.NFTA_BITWISE_MASK, unix.NFTA_DATA_VALUE),
			Last:  netlink.Find(b, unix.NFTA_BITWISE_XOR, unix.NFTA_DATA_VALUE),
		}
	},
	"cmp": func(b []byte) kernel.FilterStep {
		return kernel.FilterStep{
			Op: kernel.StepCompare, Src: regOffset(b, unix.NFTA_CMP_SREG), Compare: number(b, unix.NFTA_CMP_OP),
			Value: netlink.Find(b, unix.NFTA_CMP_DATA, unix.NFTA_DATA_VALUE),
		}
	},
	"range": func(b []byte) kernel.FilterStep {
		return kernel.FilterStep{
			Op: kernel.StepRange, Src: regOffset(b, unix.NFTA_CMP_SREG), Compare: number(b, unix.NFTA_CMP_OP),
			Value: netlink.Find(b, rangeFrom, unix.NFTA_DATA_VALUE), Last: netlink.Find(b, rangeTo, unix.NFTA_DATA_VALUE),
		}
	},
	"lookup": func(b []byte) kernel.FilterStep {
		destination := netlink.Find(b, unix.NFTA_LOOKUP_DREG)
		return kernel.FilterStep{
			Op: kernel.StepLookup, Src: regOffset(b, unix.NFTA_LOOKUP_SREG),
			Name:     netlink.Text(netlink.Find(b, unix.NFTA_LOOKUP_SET)),
			Inverted: number(b, unix.NFTA_LOOKUP_FLAGS)&unix.NFT_LOOKUP_F_INV != 0,
			IsMap:    destination != nil, ToVerdict: destination != nil && netlink.Uint32BE(destination) == verdictReg,
		}
	},
	"immediate": func(b []byte) kernel.FilterStep {
		if number(b, unix.NFTA_IMMEDIATE_DREG) != verdictReg {
			return kernel.FilterStep{
				Op: kernel.StepImmediate, Dst: regOffset(b, unix.NFTA_IMMEDIATE_DREG),
				Value: netlink.Find(b, unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VALUE),
			}
		}
		verdict := netlink.Find(b, unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT)
		return kernel.FilterStep{Op: kernel.StepVerdict, Verdict: kernel.FilterVerdict{
			Code:  int32(number(verdict, unix.NFTA_VERDICT_CODE)),
			Chain: netlink.Text(netlink.Find(verdict, unix.NFTA_VERDICT_CHAIN)),
		}}
	},
	"match": func(b []byte) kernel.FilterStep {
		return kernel.FilterStep{Op: kernel.StepMatch, Name: netlink.Text(netlink.Find(b, extensionName)),
			Value: netlink.Find(b, extensionInfo)}
	},
	"target": func(b []byte) kernel.FilterStep {
		return kernel.FilterStep{Op: kernel.StepTarget, Name: netlink.Text(netlink.Find(b, extensionName))}
	},
	"queue": func([]byte) kernel.FilterStep {
		const toProgram = 3 // NF_QUEUE
		return kernel.FilterStep{Op: kernel.StepVerdict, Verdict: kernel.FilterVerdict{Code: toProgram}}
	},
	"objref": func(b []byte) kernel.FilterStep {
		const namedCounter = 1 // NFT_OBJECT_COUNTER, of a NFTA_OBJREF_IMM_TYPE
		if number(b, unix.NFTA_OBJREF_IMM_TYPE) != namedCounter {
			return kernel.FilterStep{Op: kernel.StepUnknown} // a quota or a limit
		}
		return kernel.FilterStep{Op: kernel.StepNothing}
	},
	"fwd":     func([]byte) kernel.FilterStep { return kernel.FilterStep{Op: kernel.StepReject} }, // it goes elsewhere
	"reject":  func([]byte) kernel.FilterStep { return kernel.FilterStep{Op: kernel.StepReject} },
	"counter": goOn, "log": goOn, "last": goOn, "dup": goOn, "notrack": goOn,
	"fib": loadOther, "rt": loadOther, "numgen": loadOther, "hash": loadOther,
}

func goOn([]byte) kernel.FilterStep { return kernel.FilterStep{Op: kernel.StepNothing} }

func loadOther([]byte) kernel.FilterStep { return kernel.FilterStep{Op: kernel.StepLoadOther} }

func parseFilterRule(b []byte) (rule kernel.FilterRule) {
	for _, e := range netlink.Attrs(b) {
		step := kernel.FilterStep{Op: kernel.StepUnknown}
		if parse, ok := steps[netlink.Text(netlink.Find(e, unix.NFTA_EXPR_NAME))]; ok {
			step = parse(netlink.Find(e, unix.NFTA_EXPR_DATA))
		}
		rule = append(rule, step)
	}
	return rule
}

func number(b []byte, typ uint16) uint32 { return netlink.Uint32BE(netlink.Find(b, typ)) }

// regOffset returns where a register begins. The kernel has names for registers of 16 and of 4
// bytes, which share their memory.
func regOffset(b []byte, typ uint16) int {
	const wide, narrow = 16, 4
	r := int(number(b, typ))
	if r >= reg32 {
		return (r - reg32) * narrow
	}
	return max(r-1, 0) * wide
}
