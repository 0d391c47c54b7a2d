package foreignfilter

import (
	"encoding/binary"
	"net/netip"

	"vxlan-driver/internal/kernel"
)

// Device is a link as rules name it.
type Device struct {
	Name  string
	Index int
}

// Numbers of connection tracking, as nftables has them (linux/netfilter/nf_conntrack_common.h).
const (
	stateEstablished = 1 << 1 // NF_CT_STATE_BIT(IP_CT_ESTABLISHED)
	stateNew         = 1 << 3 // NF_CT_STATE_BIT(IP_CT_NEW)
	stateUntracked   = 1 << 6 // NF_CT_STATE_UNTRACKED_BIT
	statusDNAT       = 1 << 5 // IPS_DST_NAT
)

// packet is the first one of a connection, or an answer, as rules see it. Of an address or port
// that may be any of several, those bits are known which they have in common.
type packet struct {
	in, out    Device // zero: none
	src, dst   netip.Prefix
	protocol   uint8
	ports      [2]uint16 // destination: the first and last that it may have
	answer     bool
	untracked  bool
	translated bool // the connection's destination was rewritten
	bridged    bool // a bridge handles it as a frame
	arp        bool
	icmpType   byte // of ICMP and ICMPv6
	world      side // which of the addresses is somewhere outside
}

// side is a packet's source or destination.
type side int

const (
	worldIsNeither side = iota
	worldIsSource
	worldIsDestination
)

// toAnywhere is the packet when nothing is known of the address outside.
func (p packet) toAnywhere() packet {
	switch p.world {
	case worldIsSource:
		p.src = netip.PrefixFrom(p.src.Addr(), 0)
	case worldIsDestination:
		p.dst = netip.PrefixFrom(p.dst.Addr(), 0)
	}
	return p
}

// ofOtherBridge is the packet when it is another bridge's.
func (p packet) ofOtherBridge() packet {
	stranger, subnet := Device{"no-such-bridge", 1 << 30}, netip.MustParsePrefix("192.0.2.0/24")
	if p.isIPv6() {
		subnet = netip.MustParsePrefix("2001:db8::/64")
	}
	switch p.world {
	case worldIsSource:
		p.out, p.dst = stranger, subnet
	case worldIsDestination:
		p.in, p.src = stranger, subnet
	}
	return p
}

func (p *packet) isIPv6() bool { return p.src.Addr().Is6() }

// isSeenBy tells whether the chains of a family see the packet at a hook. Those of a device see all.
func (p *packet) isSeenBy(f kernel.Family, hook kernel.FilterHook) bool {
	ofDevice := hook == kernel.HookIngress || hook == kernel.HookEgress
	switch f {
	case kernel.FamilyNetdev:
		return true
	case kernel.FamilyBridge:
		return p.bridged
	case kernel.FamilyARP:
		return p.arp && !p.bridged
	}
	isSeen := !p.arp && (!p.bridged || ofDevice)
	return isSeen && (f == kernel.FamilyInet || (f == kernel.FamilyIP6) == p.isIPv6())
}

// prefixValue is an address whose prefix is known.
func prefixValue(p netip.Prefix) value {
	v := value{p.Addr().AsSlice(), make([]byte, p.Addr().BitLen()/8)}
	for i := range p.Bits() {
		v.known[i/8] |= 0x80 >> (i % 8)
	}
	return v
}

// networkHeader is the header of IP, or the ARP packet (RFC 826).
func (p *packet) networkHeader() value {
	length, begin, srcAt, dstAt := 20, []byte{0x45}, 12, 16
	switch {
	case p.arp:
		length, begin, srcAt, dstAt = 28, []byte{0, 1, 8, 0, 6, 4}, 14, 24
	case p.isIPv6():
		length, begin, srcAt, dstAt = 40, []byte{0x60}, 8, 24
	}
	h := unknownValue(length)
	h.put(0, knownValue(begin))
	switch length {
	case 20:
		h.put(9, knownValue([]byte{p.protocol}))
	case 40:
		h.put(6, knownValue([]byte{p.protocol}))
	}
	h.put(srcAt, prefixValue(p.src))
	h.put(dstAt, prefixValue(p.dst))
	return h
}

// transportHeader has the ports, of which that of the source may be any, or the type of ICMP.
func (p *packet) transportHeader() value {
	h := unknownValue(20)
	if p.icmpType != 0 {
		h.put(0, knownValue([]byte{p.icmpType, 0}))
		return h
	}
	h.put(2, rangeValue(p.ports))
	return h
}

// rangeValue has the bits that both ends of a range begin with.
func rangeValue(ends [2]uint16) value {
	v := value{binary.BigEndian.AppendUint16(nil, ends[0]), make([]byte, 2)}
	known := uint16(0xffff)
	for ends[0]&known != ends[1]&known {
		known <<= 1
	}
	binary.BigEndian.PutUint16(v.known, known)
	return v
}

func (v value) put(at int, part value) {
	part.copyTo(value{v.bits[at:], v.known[at:]})
}

// What rules load about a packet (enum nft_meta_keys).
const (
	metaProtocol = 1
	metaMark     = 3
	metaIn       = 4
	metaOut      = 5
	metaInName   = 6
	metaOutName  = 7
	metaFamily   = 15
	metaL4       = 16
)

// meta returns what a rule loads about the packet. ok is false if there is no such thing, and the
// rule does not match then.
func (p *packet) meta(key uint32) (v value, ok bool) {
	switch key {
	case metaProtocol:
		return knownValue(p.etherType()), true
	case metaMark: // 0, unless another rule has set it
		return knownValue(make([]byte, 4)), true
	case metaIn:
		return indexValue(p.in), p.in.Name != ""
	case metaOut:
		return indexValue(p.out), p.out.Name != ""
	case metaInName:
		return nameValue(p.in), p.in.Name != ""
	case metaOutName:
		return nameValue(p.out), p.out.Name != ""
	case metaFamily: // bridges and devices have their own
		const ipv4, ipv6 = 2, 10
		if p.isIPv6() {
			return knownValue([]byte{ipv6}), true
		}
		return knownValue([]byte{ipv4}), true
	case metaL4:
		return knownValue([]byte{p.protocol}), !p.arp
	}
	return unknownValue(16), true
}

func (p *packet) etherType() []byte {
	switch {
	case p.arp:
		return []byte{0x08, 0x06}
	case p.isIPv6():
		return []byte{0x86, 0xdd}
	}
	return []byte{0x08, 0x00}
}

func indexValue(d Device) value {
	return knownValue(binary.NativeEndian.AppendUint32(nil, uint32(d.Index)))
}

func nameValue(d Device) value {
	return knownValue(append([]byte(d.Name), make([]byte, 16-len(d.Name))...))
}

// What rules load about a connection (enum nft_ct_keys).
const (
	ctState     = 0
	ctDirection = 1
	ctStatus    = 2
	ctMark      = 3
)

func (p *packet) state() uint32 {
	switch {
	case p.untracked:
		return stateUntracked
	case p.answer:
		return stateEstablished
	}
	return stateNew
}

func (p *packet) status() uint32 {
	if p.translated {
		return statusDNAT
	}
	return 0
}

// connection returns what a rule loads about the packet's connection.
func (p *packet) connection(key uint32) (v value, ok bool) {
	if key == ctState {
		return knownValue(binary.NativeEndian.AppendUint32(nil, p.state())), true
	}
	if p.untracked {
		return value{}, false
	}
	switch key {
	case ctDirection:
		direction := byte(0)
		if p.answer {
			direction = 1
		}
		return knownValue([]byte{direction}), true
	case ctStatus:
		return value{binary.NativeEndian.AppendUint32(nil, p.status()),
			binary.NativeEndian.AppendUint32(nil, statusDNAT)}, true
	case ctMark:
		return knownValue(make([]byte, 4)), true
	}
	return unknownValue(16), true
}
