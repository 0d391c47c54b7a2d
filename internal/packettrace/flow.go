package packettrace

import (
	"encoding/hex"
	"fmt"
	"net/netip"
)

// Flow is the packets from one container to another one.
type Flow struct {
	Src, Dst netip.Addr
	Port     uint16 // UDP, of the tunnel
	VNI      uint32
	// Devices are the links by which the packets come in on this host: a container's port, and the
	// VXLAN device.
	Devices []string
}

// Matches selects the flow's packets on their whole way: as the container sent them, and inside a
// VXLAN packet.
func (f Flow) Matches() []Match {
	inner := fmt.Sprintf("ip saddr %s ip daddr %s", f.Src, f.Dst)
	if f.Src.Is6() {
		inner = fmt.Sprintf("ip6 saddr %s ip6 daddr %s", f.Src, f.Dst)
	}
	matches := []Match{
		{Family: "inet", Expression: inner}, {Family: "bridge", Expression: inner},
		{Family: "inet", Expression: f.tunnelled()},
	}
	for _, d := range f.Devices {
		matches = append(matches, Match{Family: "netdev", Device: d, Expression: inner})
	}
	return matches
}

// Bits from the start of the UDP header. The VNI is in the VXLAN header (RFC 7348, section 5), and
// the addresses are in the IP header behind it and behind Ethernet's.
const (
	vniOffset  = 64 + 32
	innerIP    = 64 + 64 + 112
	srcOffset4 = innerIP + 96
	srcOffset6 = innerIP + 64
)

func (f Flow) tunnelled() string {
	src := srcOffset4
	if f.Src.Is6() {
		src = srcOffset6
	}
	bits := f.Src.BitLen()
	return fmt.Sprintf("udp dport %d @th,%d,24 %d @th,%d,%d 0x%s @th,%d,%d 0x%s",
		f.Port, vniOffset, f.VNI, src, bits, hex.EncodeToString(f.Src.AsSlice()), src+
			bits, bits, hex.EncodeToString(f.Dst.AsSlice()))
}
