package foreignfilter

import (
	"encoding/binary"
	"slices"

	"vxlan-driver/internal/kernel"
)

// matchExtension tells whether a match of iptables matches. Some of them iptables-nft has not
// translated to nftables' own expressions.
func (t *trace) matchExtension(step kernel.FilterStep) truth {
	switch step.Name {
	case "comment":
		return yes
	case "conntrack":
		return t.matchConntrack(step.Value)
	case "tcp", "udp":
		return t.matchPorts(step.Name, step.Value)
	case "mark":
		return t.matchMark(step.Value)
	}
	return maybe
}

// matchConntrack reads a struct xt_conntrack_mtinfo2 or 3 (linux/netfilter/xt_conntrack.h) that
// asks for the state alone.
func (t *trace) matchConntrack(info []byte) truth {
	const (
		flagsAt, invertAt, statesAt = 146, 148, 150
		flagState                   = 1
		untracked, dnat             = 1 << 8, 1 << 7 // XT_CONNTRACK_STATE_*
	)
	if len(info) < statesAt+2 || binary.NativeEndian.Uint16(info[flagsAt:]) != flagState {
		return maybe
	}
	have := uint16(t.packet.state())
	switch {
	case t.packet.untracked:
		have = untracked
	case t.packet.translated:
		have |= dnat
	}
	found := binary.NativeEndian.Uint16(info[statesAt:])&have != 0
	inverted := binary.NativeEndian.Uint16(info[invertAt:])&flagState != 0
	return truthOf(found != inverted)
}

// matchPorts reads a struct xt_tcp or xt_udp (linux/netfilter/xt_tcpudp.h): two ranges of ports,
// of the source and the destination.
func (t *trace) matchPorts(protocol string, info []byte) truth {
	const dstAt, udpFlagsAt, tcpFlagsAt, invertDst, otherFlags = 4, 8, 11, 2, 0xfd
	flagsAt := udpFlagsAt
	if protocol == "tcp" {
		flagsAt = tcpFlagsAt
	}
	if len(info) <= flagsAt {
		return maybe
	}
	source := [2]uint16{binary.NativeEndian.Uint16(info), binary.NativeEndian.Uint16(info[2:])}
	first, last := binary.NativeEndian.Uint16(info[dstAt:]), binary.NativeEndian.Uint16(info[dstAt+2:])
	found := maybe
	switch ports := t.packet.ports; {
	case ports[1] < first || ports[0] > last:
		found = no
	case ports[0] >= first && ports[1] <= last:
		found = yes
	}
	if info[flagsAt]&invertDst != 0 {
		found = found.not()
	}
	asksMore := source != [2]uint16{0, 0xffff} || info[flagsAt]&otherFlags != 0 || protocol == "tcp" && info[9] != 0
	if asksMore {
		return min(found, maybe)
	}
	return found
}

// matchMark reads a struct xt_mark_mtinfo1 (linux/netfilter/xt_mark.h).
func (t *trace) matchMark(info []byte) truth {
	const markAt, invertAt = 0, 8
	if len(info) <= invertAt || t.marked {
		return maybe
	}
	return truthOf((binary.NativeEndian.Uint32(info[markAt:]) == 0) != (info[invertAt] != 0))
}

// harmlessTargets are those of iptables after which a packet goes on.
var harmlessTargets = []string{
	"AUDIT", "CHECKSUM", "CLASSIFY", "CT", "DSCP", "HL", "IDLETIMER", "LOG", "NFLOG", "NOTRACK", "RATEEST",
	"SECMARK", "SET", "TCPMSS", "TEE", "TOS", "TRACE", "TTL",
}

func (t *trace) targetExtension(step kernel.FilterStep) []kernel.FilterVerdict {
	switch {
	case step.Name == "REJECT" || step.Name == "TARPIT":
		return []kernel.FilterVerdict{{Code: verdictDrop}}
	case step.Name == "MARK" || step.Name == "CONNMARK":
		t.marked = true
		return nil
	case slices.Contains(harmlessTargets, step.Name):
		return nil
	}
	return []kernel.FilterVerdict{{Code: verdictQueue}}
}
