package kernel

import "strings"

// FilterTable is an nftables table of another program, as far as it can drop packets that this host
// routes, receives or sends.
type FilterTable struct {
	Family  Family
	Name    string
	Program string // that lists it, where nft does not: iptables-legacy or ip6tables-legacy
	Chains  map[string]FilterChain
	Sets    map[string]FilterSet // that its rules look something up in
}

// FilterHook is where a chain hooks into the kernel.
type FilterHook int

// The hooks at which chains filter.
const (
	HookNone FilterHook = iota // other chains jump to it
	HookInput
	HookForward
	HookOutput
	HookPrerouting
	HookPostrouting
	HookIngress // of a device
	HookEgress  // of a device
)

var hookNames = [...]string{"none", "input", "forward", "output", "prerouting", "postrouting", "ingress", "egress"}

// String spells the hook as nft spells it.
func (h FilterHook) String() string { return hookNames[h] }

// FilterChain is a chain of a FilterTable.
type FilterChain struct {
	Hook       FilterHook
	Devices    []string // of HookIngress and HookEgress; see IsDevice
	PolicyDrop bool     // drops what no rule accepts
	Rules      []FilterRule
}

// FilterRule is the steps of a rule. A packet takes the next one unless a step does not match.
type FilterRule []FilterStep

// FilterStep is a step of a rule (struct nft_expr).
type FilterStep struct {
	Op        FilterOp
	Src, Dst  int    // offsets of registers, in bytes
	Key       uint32 // StepMeta, StepCT: what to load; StepPayload: from which header
	Offset    int    // StepPayload: in that header
	Len       int    // StepPayload, StepBitwise: bytes
	Compare   uint32 // StepCompare, StepRange: operator (enum nft_cmp_ops)
	Value     []byte // StepCompare, StepRange: first; StepBitwise: mask; StepImmediate; StepMatch: the extension's own
	Last      []byte // StepRange: last; StepBitwise: what is added by exclusive or
	Name      string // StepLookup: set; StepMatch, StepTarget: extension of iptables
	IsMap     bool   // StepLookup: a map, whose value counts
	Inverted  bool   // StepLookup: matches what is not in the set
	ToVerdict bool   // StepLookup: the map's value is a verdict
	Verdict   FilterVerdict
}

// FilterOp says what a step does.
type FilterOp int

// The steps that are understood. Of any other one nothing is known but that it may not match.
const (
	StepUnknown   FilterOp = iota
	StepNothing            // such as a counter
	StepMeta               // loads something about the packet
	StepCT                 // loads something about its connection
	StepPayload            // loads a part of a header
	StepLoadOther          // loads something that is not known
	StepSetMark            // sets the packet's or the connection's mark
	StepBitwise
	StepCompare
	StepRange
	StepLookup
	StepImmediate
	StepVerdict
	StepReject
	StepMatch  // a match of iptables
	StepTarget // a target of iptables
)

// FilterVerdict is what happens to a packet (enum nft_verdicts and NF_*).
type FilterVerdict struct {
	Code  int32
	Chain string
}

// FilterSet is a set or map.
type FilterSet struct {
	Elements []FilterElement
	Default  *FilterVerdict // of a verdict map: for what no element matches
	Unread   bool           // it is too large, and may have anything
}

// FilterElement is an element of a FilterSet, with both ends of its range.
type FilterElement struct {
	First, Last []byte
	Parts       bool          // several side by side, each with a range of its own
	Verdict     FilterVerdict // of a verdict map
}

// IsDevice tells whether a chain's device is the one of that name. With a star at its end it is each whose name
// begins so.
func IsDevice(pattern, name string) bool {
	prefix, isPrefix := strings.CutSuffix(pattern, "*")
	return pattern == name || isPrefix && strings.HasPrefix(name, prefix)
}
