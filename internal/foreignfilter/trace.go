package foreignfilter

import "vxlan-driver/internal/kernel"

// outcomes are what may happen to a packet.
type outcomes uint8

const (
	accepted outcomes = 1 << iota
	dropped
	passedOn // no rule decided
)

// trace follows a packet through the chains of a table. Where a rule may or may not match, both are
// followed.
type trace struct {
	table    kernel.FilterTable
	packet   packet
	marked   bool // a rule may have set a mark
	followed map[visit]outcomes
}

// visit is the way through a chain. Chains that are jumped to from many rules are followed once:
// the ways through several such chains, one below the other, are the product.
type visit struct {
	chain  string
	marked bool
	depth  int
}

// maxDepth bounds how deep chains jump, as the kernel does (NFT_JUMP_STACK_SIZE).
const maxDepth = 16

// mustDrop tells whether a base chain drops the packet, whatever is not known of it.
func mustDrop(t kernel.FilterTable, chain string, p packet) bool {
	return followPacket(t, chain, p)&accepted == 0
}

// mayDrop tells whether a base chain may drop the packet, and may let it pass.
func mayDrop(t kernel.FilterTable, chain string, p packet) bool {
	return followPacket(t, chain, p) == accepted|dropped
}

// followPacket returns what a base chain may do to the packet.
func followPacket(t kernel.FilterTable, chain string, p packet) outcomes {
	tr := trace{table: t, packet: p, followed: make(map[visit]outcomes)}
	result := tr.followChain(chain, maxDepth)
	switch {
	case result&passedOn == 0:
		return result
	case t.Chains[chain].PolicyDrop:
		return result&^passedOn | dropped
	}
	return result&^passedOn | accepted
}

func (t *trace) followChain(name string, depth int) outcomes {
	chain, ok := t.table.Chains[name]
	if !ok || depth == 0 {
		return accepted | dropped | passedOn
	}
	v := visit{name, t.marked, depth}
	result, known := t.followed[v]
	if !known {
		result = t.followRules(chain, depth)
		t.followed[v] = result
	}
	return result
}

func (t *trace) followRules(chain kernel.FilterChain, depth int) (result outcomes) {
	for _, rule := range chain.Rules {
		may, surely := t.followRule(rule, depth)
		result |= may &^ passedOn
		if surely {
			return result | may
		}
		if may&passedOn != 0 {
			result |= passedOn // it may return here
		}
	}
	return result | passedOn
}

// followRule returns what a rule may do to the packet. If that is sure, the chain ends here.
func (t *trace) followRule(rule kernel.FilterRule, depth int) (may outcomes, surely bool) {
	registers := unknownValue(64)
	match := yes
	for _, step := range rule {
		found, verdicts := t.takeStep(step, registers)
		match = min(match, found)
		if match == no {
			return may, false
		}
		for _, v := range verdicts {
			outcome, ends := t.followVerdict(v, depth)
			may |= outcome
			if ends && match == yes && len(verdicts) == 1 {
				return may, true
			}
		}
	}
	return may, false
}

// Verdicts: NF_DROP and so on, and enum nft_verdicts.
const (
	verdictDrop     = 0
	verdictAccept   = 1
	verdictQueue    = 3 // another program decides
	verdictContinue = -1
	verdictBreak    = -2
	verdictJump     = -3
	verdictGoto     = -4
	verdictReturn   = -5
)

// followVerdict returns what a verdict may do to the packet, and whether the chain ends with it.
func (t *trace) followVerdict(v kernel.FilterVerdict, depth int) (may outcomes, ends bool) {
	switch v.Code {
	case verdictDrop:
		return dropped, true
	case verdictAccept:
		return accepted, true
	case verdictContinue, verdictBreak:
		return 0, false
	case verdictReturn:
		return passedOn, true
	case verdictGoto:
		return t.followChain(v.Chain, depth-1), true
	case verdictJump:
		may = t.followChain(v.Chain, depth-1)
		return may &^ passedOn, may&passedOn == 0
	}
	return accepted | dropped, false // a queue, or one that is not known
}

// takeStep tells whether a step matches, and what verdicts it may give.
func (t *trace) takeStep(step kernel.FilterStep, registers value) (truth, []kernel.FilterVerdict) {
	switch step.Op {
	case kernel.StepNothing:
	case kernel.StepMeta:
		v, ok := t.packet.meta(step.Key)
		return t.load(registers, step, v, ok, step.Key == metaMark), nil
	case kernel.StepCT:
		v, ok := t.packet.connection(step.Key)
		return t.load(registers, step, v, ok, step.Key == ctMark), nil
	case kernel.StepPayload:
		registers.store(step.Dst, t.payload(step))
	case kernel.StepLoadOther:
		registers.forget()
	case kernel.StepSetMark:
		t.marked = true
	case kernel.StepBitwise:
		registers.store(step.Dst, registers.slice(step.Src, step.Len).masked(step.Value, step.Last))
	case kernel.StepCompare:
		return registers.slice(step.Src, len(step.Value)).compare(step.Compare, step.Value), nil
	case kernel.StepRange:
		found := registers.slice(step.Src, len(step.Value)).within(step.Value, step.Last)
		if step.Compare == compareNotEqual {
			found = found.not()
		}
		return found, nil
	case kernel.StepImmediate:
		registers.store(step.Dst, knownValue(step.Value))
	case kernel.StepLookup:
		return t.lookUp(step, registers)
	case kernel.StepVerdict:
		return yes, []kernel.FilterVerdict{step.Verdict}
	case kernel.StepReject:
		return yes, []kernel.FilterVerdict{{Code: verdictDrop}}
	case kernel.StepMatch:
		return t.matchExtension(step), nil
	case kernel.StepTarget:
		return yes, t.targetExtension(step)
	default:
		registers.forget()
		return maybe, nil
	}
	return yes, nil
}

// store puts a value into the registers from at on. As the kernel does, it fills the rest of the
// last four bytes with zeros. Of a value that does not fit, what it overwrites is not known.
func (v value) store(at int, part value) {
	end := (at + len(part.bits) + 3) / 4 * 4
	if end > len(v.bits) {
		v.forget()
		return
	}
	v.put(at, knownValue(make([]byte, end-at)))
	v.put(at, part)
}

func (v value) forget() { clear(v.known) }

// load puts what was found into a register. A mark is not known once a rule may have set it.
func (t *trace) load(registers value, step kernel.FilterStep, v value, ok, isMark bool) truth {
	if !ok {
		return no
	}
	if isMark && t.marked {
		v = unknownValue(len(v.bits))
	}
	registers.store(step.Dst, v)
	return yes
}

// Headers that a rule reads (enum nft_payload_bases).
const (
	baseLink      = 0
	baseNetwork   = 1
	baseTransport = 2
)

func (t *trace) payload(step kernel.FilterStep) value {
	switch step.Key {
	case baseLink: // whose MACs it has is not known
		const typeAt = 12
		if step.Offset == typeAt && step.Len == 2 {
			return knownValue(t.packet.etherType())
		}
	case baseNetwork:
		return t.packet.networkHeader().slice(step.Offset, step.Len)
	case baseTransport:
		return t.packet.transportHeader().slice(step.Offset, step.Len)
	}
	return unknownValue(step.Len)
}

// lookUp tells whether a set has what is in the registers. Of a verdict map it returns the verdicts
// of all elements that may be meant.
func (t *trace) lookUp(step kernel.FilterStep, registers value) (truth, []kernel.FilterVerdict) {
	set := t.table.Sets[step.Name]
	found, verdicts := no, []kernel.FilterVerdict(nil)
	if set.Unread {
		found, verdicts = maybe, []kernel.FilterVerdict{{Code: verdictQueue}}
	}
	for _, e := range set.Elements {
		key := registers.slice(step.Src, len(e.First))
		is := key.matches(e)
		if is == no {
			continue
		}
		found = max(found, is)
		verdicts = append(verdicts, e.Verdict)
		if is == yes {
			verdicts = verdicts[len(verdicts)-1:]
			break
		}
	}
	if found != yes && set.Default != nil {
		found, verdicts = yes, append(verdicts, *set.Default)
	}
	switch {
	case step.ToVerdict:
		return found, verdicts
	case step.IsMap:
		registers.forget()
	case step.Inverted:
		return found.not(), nil
	}
	return found, nil
}

// matches compares with an element. Of several parts each is compared by itself; each begins at a
// multiple of four bytes.
func (v value) matches(e kernel.FilterElement) truth {
	const word = 4
	if !e.Parts {
		return v.within(e.First, e.Last)
	}
	result := yes
	for i := 0; i+word <= len(e.First); i += word {
		result = min(result, v.slice(i, word).within(e.First[i:i+word], e.Last[i:i+word]))
	}
	return result
}
