package kernel

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
)

// Datum is a key or value as nftables holds it. Its text is made only when it is printed, as a
// network of 1,000 hosts has 2,000 of them.
type Datum struct {
	first, last string // bytes; they differ for a range
	parts       string // a byte for each part: how it is printed
	chain       string // of a verdict
}

const (
	partDevice   = 'd'
	partIP4      = '4'
	partIP6      = '6'
	partSubnet4  = 's'
	partSubnet6  = 'S'
	partND       = 'n'
	partPort     = 'p'
	partProtocol = 't'
	partMAC      = 'm'
	partVNI      = 'v'
	partUser     = 'u'
)

// partLen is how many bytes a part has.
func partLen(kind byte) int {
	switch kind {
	case partProtocol:
		return 1
	case partPort:
		return 2
	case partVNI:
		return 3
	case partIP4, partSubnet4, partUser:
		return 4
	case partMAC:
		return 6
	}
	return 16
}

// protocolName is the one that nft prints.
func protocolName(number byte) string {
	switch number {
	case 6:
		return "tcp"
	case 17:
		return "udp"
	}
	return "sctp"
}

// IsZero tells whether it is unset.
func (d Datum) IsZero() bool { return d == Datum{} }

// String prints the value as nft takes it.
func (d Datum) String() string {
	if d.chain != "" {
		return "jump " + d.chain
	}
	if d.parts == "" && d.first != "" {
		return fmt.Sprintf("0x%x", d.first)
	}
	var texts []string
	at := 0
	for i := range len(d.parts) {
		n := partLen(d.parts[i])
		texts = append(texts, formatPart(d.parts[i], d.first[at:at+n], d.last[at:at+n]))
		at += alignedLen(n)
	}
	return strings.Join(texts, " . ")
}

// formatPart prints a part.
func formatPart(kind byte, first, last string) string {
	b := []byte(first)
	switch kind {
	case partDevice:
		return `"` + strings.TrimRight(first, "\x00") + `"`
	case partIP4, partIP6:
		return addrFromBytes(b).String()
	case partSubnet4, partSubnet6:
		return netip.PrefixFrom(addrFromBytes(b), commonBits(first, last)).String()
	case partPort:
		return fmt.Sprint(binary.BigEndian.Uint16(b))
	case partProtocol:
		return protocolName(b[0])
	case partUser:
		return fmt.Sprint(binary.NativeEndian.Uint32(b))
	case partMAC:
		return MAC(b).String()
	case partVNI:
		return fmt.Sprintf("0x%x", binary.BigEndian.Uint32(append([]byte{0}, b...)))
	}
	return fmt.Sprintf("0x%x", b)
}

func addrFromBytes(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

// commonBits is the length of the prefix that two addresses share.
func commonBits(a, b string) int {
	for i := range len(a) {
		if x := a[i] ^ b[i]; x != 0 {
			return 8*i + bits.LeadingZeros8(x)
		}
	}
	return 8 * len(a)
}

// First returns the bytes of the value, or of a range's first one.
func (d Datum) First() []byte { return []byte(d.first) }

// Last returns the bytes of a range's last value, and First of any other.
func (d Datum) Last() []byte { return []byte(d.last) }

// Chain returns the chain that a verdict jumps to, "" if it is no verdict.
func (d Datum) Chain() string { return d.chain }

func newDatum(kind byte, b []byte) Datum {
	s := string(b)
	return Datum{first: s, last: s, parts: string([]byte{kind})} // unlike a rune it is not allocated
}

// Device is a network device's name.
func Device(name string) Datum {
	b := make([]byte, MaxNameLen+1)
	copy(b, name)
	return newDatum(partDevice, b)
}

// IP is an address.
func IP(a netip.Addr) Datum {
	if a.Is4() {
		b := a.As4()
		return newDatum(partIP4, b[:])
	}
	b := a.As16()
	return newDatum(partIP6, b[:])
}

// Subnet is a range of addresses.
func Subnet(p netip.Prefix) Datum {
	d := IP(p.Masked().Addr())
	d.parts = string(rune(partSubnet4))
	if p.Addr().Is6() {
		d.parts = string(rune(partSubnet6))
	}
	last := d.Last()
	for i := range last {
		if bits := p.Bits() - 8*i; bits < 8 {
			last[i] |= 0xff >> max(bits, 0)
		}
	}
	d.last = string(last)
	return d
}

// NDTarget is an address where it stands in neighbour discovery (RFC 4861, section 4.3), which nft
// shows as a number.
func NDTarget(a netip.Addr) Datum {
	b := a.As16()
	return newDatum(partND, b[:])
}

// Port is a TCP, UDP or SCTP port.
func Port(p uint16) Datum { return newDatum(partPort, binary.BigEndian.AppendUint16(nil, p)) }

// Protocol is the number of TCP, UDP or SCTP (RFC 5237).
func Protocol(number uint8) Datum { return newDatum(partProtocol, []byte{number}) }

// Ethernet is a MAC address.
func Ethernet(m MAC) Datum { return newDatum(partMAC, m[:]) }

// VNI is a VXLAN network identifier, three bytes in the header (RFC 7348, section 5).
func VNI(v uint32) Datum { return newDatum(partVNI, binary.BigEndian.AppendUint32(nil, v)[1:]) }

// User is the number of a user, in the machine's byte order.
func User(id uint32) Datum { return newDatum(partUser, binary.NativeEndian.AppendUint32(nil, id)) }

// Jump is the verdict to go on in a chain.
func Jump(chain string) Datum { return Datum{chain: chain} }

// Concat is a key or value of several parts, each of which fills a multiple of four bytes.
func Concat(parts ...Datum) Datum {
	first, last, kinds := make([]byte, 0, 64), make([]byte, 0, 64), make([]byte, 0, 8)
	for _, p := range parts {
		first, last, kinds = padToWord(append(first, p.first...)), padToWord(append(last, p.last...)),
			append(kinds, p.parts...)
	}
	d := Datum{first: string(first), parts: string(kinds)}
	if d.last = d.first; string(last) != d.first {
		d.last = string(last)
	}
	return d
}

// Raw is a value as the kernel gave it, a range from first to last. It is equal to no Datum that
// was made from its parts, but has the same bytes. Its text is its bytes.
func Raw(first, last []byte) Datum { return Datum{first: string(first), last: string(last)} }

func alignedLen(n int) int { return (n + 3) &^ 3 }

func padToWord(b []byte) []byte { return append(b, "\x00\x00\x00"[:alignedLen(len(b))-len(b)]...) }
