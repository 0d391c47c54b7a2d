package rtnl

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netlink"
)

// linkMessage is a struct ifinfomsg (linux/rtnetlink.h).
func linkMessage(index uint32, flags, mask uint32) []byte {
	m := make([]byte, 4, unix.SizeofIfInfomsg)
	m = binary.NativeEndian.AppendUint32(m, index)
	m = binary.NativeEndian.AppendUint32(m, flags)
	return binary.NativeEndian.AppendUint32(m, mask)
}

func parseMAC(b []byte) (m kernel.MAC) {
	if len(b) == len(m) {
		copy(m[:], b)
	}
	return m
}

// parseIP reads an address. Four bytes are IPv4 and sixteen IPv6, as in the kernel; there is no
// IPv4 mapped into IPv6 unless the kernel has one.
func parseIP(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b)
	return a
}

func attrMAC(typ uint16, m kernel.MAC) netlink.Attr { return netlink.BytesAttr(typ, m[:]) }

func attrIP(typ uint16, a netip.Addr) netlink.Attr {
	return netlink.BytesAttr(typ, a.Unmap().AsSlice())
}

func addressFamily(a netip.Addr) uint8 {
	if a.Unmap().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func boolByte(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
