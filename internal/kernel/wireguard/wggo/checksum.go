package wggo

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// summedTun is a tun of which no UDP packet of IPv6 has 0 for a checksum that was computed. wireguard-go fills
// in the checksums that the kernel leaves to it, and one of 65,536 comes out as 0. That stands for none: it has
// to be sent as 0xffff (RFC 768), and receivers drop packets of IPv6 without one (RFC 8200, section 8.1). Those of
// IPv4 they take. The kernel sends VXLAN packets without one there, and to sum each up would take time.
type summedTun struct{ tun.Device }

// Read implements tun.Device.
func (t summedTun) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	n, err = t.Device.Read(bufs, sizes, offset)
	for i := range n {
		fixZeroChecksum(bufs[i][offset : offset+sizes[i]])
	}
	return n, err
}

const (
	ip6HeaderLen = 40
	ip6Addresses = 8 // in its header: that of the sender, and that of the receiver
	udpHeaderLen = 8
	checksumAt   = 6 // in a UDP header
)

// fixZeroChecksum changes a UDP checksum of 0 to 0xffff if that is the sum. A packet that was sent without a
// checksum has another sum, but for one of 65,536, and for that one 0xffff is right too.
func fixZeroChecksum(packet []byte) {
	if len(packet) < ip6HeaderLen+udpHeaderLen || packet[0]>>4 != 6 || packet[6] != unix.IPPROTO_UDP {
		return
	}
	addresses, datagram := packet[ip6Addresses:ip6HeaderLen], packet[ip6HeaderLen:]
	if datagram[checksumAt]|datagram[checksumAt+1] != 0 {
		return
	}
	length := int(binary.BigEndian.Uint16(datagram[4:]))
	if length < udpHeaderLen || length > len(datagram) {
		return
	}
	sum := uint64(unix.IPPROTO_UDP) + uint64(length) + sumOf(addresses) + sumOf(datagram[:length])
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum == 0xffff {
		datagram[checksumAt], datagram[checksumAt+1] = 0xff, 0xff
	}
}

// sumOf adds up words of 16 bits, as for an Internet checksum (RFC 1071).
func sumOf(data []byte) (sum uint64) {
	for ; len(data) > 1; data = data[2:] {
		sum += uint64(binary.BigEndian.Uint16(data))
	}
	if len(data) > 0 {
		sum += uint64(data[0]) << 8
	}
	return sum
}
