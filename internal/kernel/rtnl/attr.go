package rtnl

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// message is the fixed part of a request, laid out as in the kernel's headers.
type message []byte

// Len returns the message's length.
func (m message) Len() int { return len(m) }

// Serialize returns the message.
func (m message) Serialize() []byte { return m }

// linkMessage is a struct ifinfomsg (linux/rtnetlink.h).
func linkMessage(index uint32, flags, mask uint32) message {
	m := make(message, 4, unix.SizeofIfInfomsg)
	m = binary.NativeEndian.AppendUint32(m, index)
	m = binary.NativeEndian.AppendUint32(m, flags)
	return binary.NativeEndian.AppendUint32(m, mask)
}

func mac(b []byte) (m kernel.MAC) {
	if len(b) == len(m) {
		copy(m[:], b)
	}
	return m
}

// ip reads an address. Four bytes are IPv4 and sixteen IPv6, as in the kernel;
// there is no IPv4 mapped into IPv6 unless the kernel has one.
func ip(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func attrU8(typ int, v uint8) *nl.RtAttr   { return nl.NewRtAttr(typ, nl.Uint8Attr(v)) }
func attrU32(typ int, v uint32) *nl.RtAttr { return nl.NewRtAttr(typ, nl.Uint32Attr(v)) }
func attrText(typ int, s string) *nl.RtAttr {
	return nl.NewRtAttr(typ, nl.ZeroTerminated(s))
}
func attrIP(typ int, a netip.Addr) *nl.RtAttr { return nl.NewRtAttr(typ, a.Unmap().AsSlice()) }

// attrNest holds other attributes. The flag is wanted by newer parsers
// (NLA_F_NESTED) and ignored by older ones.
func attrNest(typ int, children ...*nl.RtAttr) *nl.RtAttr {
	a := nl.NewRtAttr(typ|unix.NLA_F_NESTED, nil)
	for _, c := range children {
		a.AddChild(c)
	}
	return a
}

func family(a netip.Addr) uint8 {
	if a.Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func flag(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
