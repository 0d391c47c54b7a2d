package iptables

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"vxlan-driver/internal/kernel"
)

// Of linux/netfilter/nf_tables.h, in whose terms the steps of rules are.
const (
	metaMark    = 3
	metaInName  = 6
	metaOutName = 7
	metaL4      = 16
	ctState     = 0

	baseNetwork   = 1
	baseTransport = 2

	compareEqual    = 0
	compareNotEqual = 1

	verdictDrop   = 0
	verdictAccept = 1
	verdictJump   = -3
	verdictGoto   = -4
	verdictReturn = -5
)

// ruleReader reads the options of a rule.
type ruleReader struct {
	table   *table
	args    []string
	negated bool // the next option is
	matches kernel.FilterRule
	target  kernel.FilterRule
}

// readOption reads the next option. One that is not known matches, or does not.
func (r *ruleReader) readOption() {
	option := r.next()
	if option == "!" {
		r.negated = true
		return
	}
	read, known := options[option]
	switch {
	case known:
		read(r)
	default:
		r.add(kernel.FilterStep{Op: kernel.StepUnknown})
		for len(r.args) > 0 && !strings.HasPrefix(r.args[0], "-") && r.args[0] != "!" {
			r.next()
		}
	}
	r.negated = false
}

func (r *ruleReader) next() string {
	if len(r.args) == 0 {
		return ""
	}
	word := r.args[0]
	r.args = r.args[1:]
	return word
}

func (r *ruleReader) add(steps ...kernel.FilterStep) { r.matches = append(r.matches, steps...) }

func (r *ruleReader) unknown() { r.add(kernel.FilterStep{Op: kernel.StepUnknown}) }

// comparison is the operator of a match, which may be negated.
func (r *ruleReader) comparison() uint32 {
	if r.negated {
		return compareNotEqual
	}
	return compareEqual
}

// options read what follows each option, as iptables-save spells them.
var options = map[string]func(*ruleReader){
	"-m":        func(r *ruleReader) { r.next() }, // a module: its own options follow
	"--comment": func(r *ruleReader) { r.next() },
	"-i":        func(r *ruleReader) { r.addDevice(metaInName) },
	"-o":        func(r *ruleReader) { r.addDevice(metaOutName) },
	"-p":        (*ruleReader).addProtocol,
	"-s":        func(r *ruleReader) { r.addAddress(12, 8) },
	"-d":        func(r *ruleReader) { r.addAddress(16, 24) },
	"--sport":   func(r *ruleReader) { r.addPorts(0) },
	"--dport":   func(r *ruleReader) { r.addPorts(2) },
	"--sports":  func(r *ruleReader) { r.addPorts(0) },
	"--dports":  func(r *ruleReader) { r.addPorts(2) },
	"--ctstate": (*ruleReader).addState,
	"--state":   (*ruleReader).addState,
	"--mark":    (*ruleReader).addMark,
	"-j":        func(r *ruleReader) { r.setTarget(verdictJump) },
	"-g":        func(r *ruleReader) { r.setTarget(verdictGoto) },
}

// addDevice compares a device's name, or what it begins with.
func (r *ruleReader) addDevice(key uint32) {
	name, isPattern := strings.CutSuffix(r.next(), "+")
	want := []byte(name)
	if !isPattern {
		want = append(want, make([]byte, max(0, 16-len(want)))...)
	}
	r.add(kernel.FilterStep{Op: kernel.StepMeta, Key: key},
		kernel.FilterStep{Op: kernel.StepCompare, Compare: r.comparison(), Value: want})
}

// otherProtocol stands for those that no network uses.
const otherProtocol = 255

func (r *ruleReader) addProtocol() {
	name := r.next()
	number, known := map[string]byte{"icmp": 1, "tcp": 6, "udp": 17, "ipv6-icmp": 58, "icmpv6": 58}[name]
	if parsed, err := strconv.ParseUint(name, 10, 8); err == nil {
		number, known = byte(parsed), true
	}
	if !known {
		number = otherProtocol
	}
	if name == "all" || known && number == 0 {
		return
	}
	r.add(kernel.FilterStep{Op: kernel.StepMeta, Key: metaL4},
		kernel.FilterStep{Op: kernel.StepCompare, Compare: r.comparison(), Value: []byte{number}})
}

// addAddress compares an address in the header of IP, by its mask.
func (r *ruleReader) addAddress(at4, at6 int) {
	address, mask, err := parseMasked(r.next())
	if err != nil {
		r.unknown()
		return
	}
	at := at4
	if r.table.isIPv6 {
		at = at6
	}
	r.add(kernel.FilterStep{Op: kernel.StepPayload, Key: baseNetwork, Offset: at, Len: len(address)},
		masked(mask),
		kernel.FilterStep{Op: kernel.StepCompare, Compare: r.comparison(), Value: address})
}

// masked is a step that leaves the bits of a mask.
func masked(mask []byte) kernel.FilterStep {
	return kernel.FilterStep{Op: kernel.StepBitwise, Len: len(mask), Value: mask, Last: make([]byte, len(mask))}
}

// parseMasked reads an address with the length of a prefix, or with a mask of any bits.
func parseMasked(text string) (address, mask []byte, err error) {
	host, length, hasMask := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil, nil, err
	}
	address = addr.AsSlice()
	if given, err := netip.ParseAddr(length); hasMask && err == nil {
		return address, given.AsSlice(), nil
	}
	bits := addr.BitLen()
	if hasMask {
		if bits, err = strconv.Atoi(length); err != nil || bits > addr.BitLen() {
			return nil, nil, fmt.Errorf("mask %q", length)
		}
	}
	mask = make([]byte, len(address))
	for i := range bits {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return address, mask, nil
}

// addPorts compares a port with a list of ports and ranges.
func (r *ruleReader) addPorts(at int) {
	var set kernel.FilterSet
	for item := range strings.SplitSeq(r.next(), ",") {
		from, to, isRange := strings.Cut(item, ":")
		if !isRange {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err != nil || err2 != nil {
			r.unknown()
			return
		}
		set.Elements = append(set.Elements, kernel.FilterElement{
			First: binary.BigEndian.AppendUint16(nil, uint16(first)), Last: binary.BigEndian.AppendUint16(nil, uint16(last)),
		})
	}
	name := fmt.Sprintf("ports %d", len(r.table.Sets))
	r.table.Sets[name] = set
	r.add(kernel.FilterStep{Op: kernel.StepPayload, Key: baseTransport, Offset: at, Len: 2},
		kernel.FilterStep{Op: kernel.StepLookup, Name: name, Inverted: r.negated})
}

// states are those of connections (enum ip_conntrack_info, as NF_CT_STATE_BIT).
var states = map[string]uint32{"INVALID": 1, "ESTABLISHED": 2, "RELATED": 4, "NEW": 8, "UNTRACKED": 64}

func (r *ruleReader) addState() {
	var mask uint32
	for name := range strings.SplitSeq(r.next(), ",") {
		bit, known := states[name]
		if !known { // that of a translation
			r.unknown()
			return
		}
		mask |= bit
	}
	isNot := compareNotEqual - r.comparison()
	r.add(kernel.FilterStep{Op: kernel.StepCT, Key: ctState},
		masked(binary.NativeEndian.AppendUint32(nil, mask)),
		kernel.FilterStep{Op: kernel.StepCompare, Compare: isNot, Value: make([]byte, 4)})
}

func (r *ruleReader) addMark() {
	text, maskText, hasMask := strings.Cut(r.next(), "/")
	mark, err := strconv.ParseUint(text, 0, 32)
	mask := uint64(1<<32 - 1)
	var maskErr error
	if hasMask {
		mask, maskErr = strconv.ParseUint(maskText, 0, 32)
	}
	if err != nil || maskErr != nil {
		r.unknown()
		return
	}
	r.add(kernel.FilterStep{Op: kernel.StepMeta, Key: metaMark},
		masked(binary.NativeEndian.AppendUint32(nil, uint32(mask))),
		kernel.FilterStep{
			Op: kernel.StepCompare, Compare: r.comparison(), Value: binary.NativeEndian.AppendUint32(nil, uint32(mark)),
		})
}

// setTarget reads a verdict, a chain or an extension. The options of an extension follow it.
func (r *ruleReader) setTarget(jump int32) {
	name := r.next()
	verdict := func(code int32, chain string) {
		r.target = kernel.FilterRule{{Op: kernel.StepVerdict, Verdict: kernel.FilterVerdict{Code: code, Chain: chain}}}
	}
	_, isChain := r.table.Chains[name]
	switch {
	case name == "ACCEPT":
		verdict(verdictAccept, "")
	case name == "DROP":
		verdict(verdictDrop, "")
	case name == "RETURN":
		verdict(verdictReturn, "")
	case isChain:
		verdict(jump, name)
	default:
		r.target = kernel.FilterRule{{Op: kernel.StepTarget, Name: name}}
	}
	r.args = nil
}
