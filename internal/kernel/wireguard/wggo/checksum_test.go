package wggo

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.zx2c4.com/wireguard/tun"
)

// udpPacket is one of IPv6 without a checksum. Its sum is as given.
func udpPacket(sum uint16) []byte {
	source, destination := netip.MustParseAddr("fd00::1").As16(), netip.MustParseAddr("fd00::2").As16()
	datagram := binary.BigEndian.AppendUint16(nil, 40000)
	datagram = binary.BigEndian.AppendUint16(datagram, 53)
	datagram = binary.BigEndian.AppendUint16(datagram, 8+2+5)
	datagram = append(datagram, 0, 0, 0, 0)
	datagram = append(datagram, "hello"...)
	rest := uint64(^sum) + 3*0xffff - fold(sumOf(source[:])+sumOf(destination[:])+17+8+2+5+sumOf(datagram))
	binary.BigEndian.PutUint16(datagram[8:], uint16(fold(rest)))
	packet := make([]byte, ip6HeaderLen)
	packet[0], packet[6] = 6<<4, 17
	copy(packet[8:], source[:])
	copy(packet[24:], destination[:])
	return append(packet, datagram...)
}

func fold(sum uint64) uint64 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}

// packetTun is a tun that has one packet.
type packetTun struct {
	tun.Device
	packet []byte
}

func (t packetTun) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	sizes[0] = copy(bufs[0][offset:], t.packet)
	return 1, nil
}

// A checksum that comes out as 0 is sent as 0xffff. Packets that were sent without one stay so.
func TestZeroChecksum(t *testing.T) {
	const at = ip6HeaderLen + checksumAt
	change := func(packet []byte, at int, value ...byte) []byte { copy(packet[at:], value); return packet }
	for name, tt := range map[string]struct {
		packet []byte
		want   uint16
	}{
		"computed":                 {udpPacket(0), 0xffff},
		"none":                     {udpPacket(0x1234), 0},
		"nearly":                   {udpPacket(1), 0},
		"another":                  {change(udpPacket(0xabcd), at, 0xab, 0xcd), 0xabcd},
		"TCP":                      {change(udpPacket(0), 6, 6), 0},
		"a fragment":               {change(udpPacket(0), 6, 44), 0},
		"a length that is too big": {change(udpPacket(0), 44, 9), 0},
		"IPv4":                     {change(udpPacket(0), 0, 4<<4), 0},
	} {
		t.Run(name, func(t *testing.T) {
			const offset = 16
			buffer, sizes := make([]byte, 1500), make([]int, 1)
			n, err := summedTun{packetTun{packet: tt.packet}}.Read([][]byte{buffer}, sizes, offset)
			if n != 1 || err != nil || sizes[0] != len(tt.packet) {
				t.Fatalf("%d packets of %d bytes, %v", n, sizes[0], err)
			}
			if got := binary.BigEndian.Uint16(buffer[offset+at:]); got != tt.want {
				t.Errorf("checksum %#x, want %#x", got, tt.want)
			}
		})
	}
}

// Of no packet is anything changed but a checksum of 0.
func FuzzZeroChecksum(f *testing.F) {
	for _, length := range []int{0, 39, 47, 48, 55} {
		f.Add(udpPacket(0)[:length])
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		before := bytes.Clone(packet)
		fixZeroChecksum(packet)
		const at = ip6HeaderLen + checksumAt
		if len(packet) >= at+2 && packet[at] == 0xff && before[at] == 0 {
			packet[at], packet[at+1] = 0, 0
		}
		if !bytes.Equal(packet, before) {
			t.Errorf("%x became %x", before, packet)
		}
	})
}
