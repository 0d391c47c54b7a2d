package network

import (
	"fmt"

	"vxlan-driver/internal/kernel"
)

const (
	// Bytes that VXLAN adds to a frame's payload: inner Ethernet 14, VXLAN 8, UDP 8 and an outer
	// IPv4 header of 20 or IPv6 header of 40 (RFC 7348, section 5).
	overhead4 = 50
	overhead6 = 70

	// Bytes that WireGuard adds to a packet: header 16, tag 16, UDP 8 and an outer IP header. With
	// VXLAN inside it the packet is one between the hosts too.
	wireGuardOverhead4 = 60
	wireGuardOverhead6 = 80

	minMTU4 = 576  // what every IPv4 host must accept (RFC 791)
	minMTU6 = 1280 // the least that IPv6 works with (RFC 8200, section 5)
)

// Overhead returns the bytes that VXLAN adds to a packet on an underlay of the family: Ethernet, VXLAN,
// UDP and IP headers (RFC 7348, section 5).
func Overhead(ipv6 bool) int {
	if ipv6 {
		return overhead6
	}
	return overhead4
}

// Overhead returns the bytes that the network's packets have on an underlay of the family beside what
// containers send.
func (n Network) Overhead(ipv6 bool) int {
	overhead := Overhead(ipv6)
	if n.Encrypts() {
		overhead += wireGuardOverhead4
		if ipv6 {
			overhead += wireGuardOverhead6 - wireGuardOverhead4
		}
	}
	return overhead
}

// WireGuardMTU returns the MTU of a network's WireGuard device: what fits through the underlay.
func (v VTEP) WireGuardMTU() int {
	if v.Local.Is6() {
		return v.UnderlayMTU - wireGuardOverhead6
	}
	return v.UnderlayMTU - wireGuardOverhead4
}

// largestInBatches returns the largest MTU, at most the one that is given, with which wireguard-go is fast.
//
// It hands the kernel packets in batches, as many of one size as fit a UDP datagram. A batch that is
// longer with its headers than an interface takes at once (gso_max_size) is cut up before it is sent, and
// each packet takes the whole way alone: a stream has half the speed. With 1377 to 1390 bytes, 46 packets
// fit the datagram, and are too long. So it is 1376 on Ethernet.
func largestInBatches(mtu int, ipv6 bool) int {
	const maxPackets, gsoMaxSize, ethernet, udp = 64, 1 << 16, 14, 8
	datagram, headers := 1<<16-1-20-udp, ethernet+20+udp
	if ipv6 { // whose length leaves out its own header
		datagram, headers = 1<<16-1-udp, ethernet+40+udp
	}
	for ; ; mtu-- {
		packet := (mtu+15)/16*16 + 32 // padded; WireGuard's header and tag
		if batch := packet * min(maxPackets, datagram/packet); batch+headers < gsoMaxSize {
			return mtu
		}
	}
}

// findMTU returns the overlay's MTU: the one asked for, or the most that fits. The underlay's MTU
// may fall while the network has containers. Then the option is only the upper bound: smaller
// packets arrive, and ones of the size asked for would be lost.
func (p placement) findMTU(iface kernel.Interface, v *VTEP) int {
	overhead, adders := p.Overhead(v.Local.Is6()), "VXLAN adds"
	if p.Encrypts() {
		adders = "VXLAN and WireGuard add"
	}
	most, least := iface.MTU-overhead, minMTU4
	if p.HasIPv6() {
		least = minMTU6
	}
	switch {
	case most < least:
		p.problems.Add(optionInterface, iface.Name, "has an MTU of %d, which leaves %d for the overlay; it needs %d",
			iface.MTU, most, least)
		return 0
	case p.MTU == 0 && p.Encrypts():
		return largestInBatches(most, v.Local.Is6())
	case p.MTU == 0:
		return most
	case p.problems.haveProblemWith("option mtu"):
		return 0
	case p.last.MTU != 0 && p.MTU >= least:
		return min(p.MTU, most)
	case p.MTU < least || p.MTU > most:
		p.problems.Add("option mtu", fmt.Sprint(p.MTU),
			"must be from %d to %d, since %s has an MTU of %d and %s %d bytes",
			least, most, iface.Name, iface.MTU, adders, overhead)
	}
	return p.MTU
}

// noteMTU says that the overlay's MTU follows the underlay's while the network has containers.
func (p placement) noteMTU(iface kernel.Interface, v *VTEP) {
	if p.last.MTU != 0 && v.MTU != 0 && v.MTU != p.last.MTU {
		v.Warnings = append(v.Warnings, fmt.Sprintf("network %s has an MTU of %d now, no longer %d, since %s has %d",
			p.Name, v.MTU, p.last.MTU, iface.Name, iface.MTU))
	}
}
