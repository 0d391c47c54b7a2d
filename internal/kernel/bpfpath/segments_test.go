package bpfpath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// The test here sends packets that the kernel is to cut up, as a socket with TCP or UDP segmentation hands
// them over (struct virtio_net_hdr).

// Kinds of segmentation (linux/virtio_net.h).
const (
	needsChecksum = 1
	gsoTCP4       = 1
	gsoTCP6       = 4
	gsoUDP        = 5
	gsoHeaderLen  = 10
)

// newSegmentWire is a wire that takes frames with a struct virtio_net_hdr before them.
func newSegmentWire(t *testing.T, from, to *realHost) wire {
	t.Helper()
	w := newWire(t, from.container, "eth0", to)
	w.normalize = joinFlows
	if err := unix.SetsockoptInt(w.in, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		t.Fatal(err)
	}
	return w
}

// joinFlows puts together the payload of each flow: how many segments come in one piece does not matter, nor
// whether a piece of TCP overtakes another that goes by the VXLAN device.
func joinFlows(frames []string) (flows []string) {
	pieces := make(map[string]map[[3]uint32]string) // by flow, sequence number and identification
	for i, f := range frames {
		ipHeader, protocol, transport, number := 20, f[14+9], 8, [3]uint32{0, uint32(f[18])<<8 | uint32(f[19]), uint32(i)}
		if f[14]>>4 == 6 {
			ipHeader, protocol, number[1] = 40, f[14+6], 0
		}
		start := 14 + ipHeader
		if protocol == byte(layers.IPProtocolTCP) {
			transport, number[0] = 32, binary.BigEndian.Uint32([]byte(f[start+4:]))
		}
		flow := fmt.Sprintf("%x %x %x port %x: ", f[:12], f[14:16], protocol, f[start:start+2])
		if pieces[flow] == nil {
			pieces[flow] = make(map[[3]uint32]string)
		}
		pieces[flow][number] = f[min(start+transport, len(f)):]
	}
	for flow, all := range pieces {
		inOrder := func(a, b [3]uint32) int { return slices.Compare(a[:], b[:]) }
		for _, number := range slices.SortedFunc(maps.Keys(all), inOrder) {
			flow += all[number]
		}
		flows = append(flows, flow)
	}
	return flows
}

// randomSegments returns a frame of many segments. Its source port is a number of its own.
func randomSegments(t *testing.T, rnd *rand.Rand, port uint16, mtu int) []byte {
	f := frame{
		source: kernel.MAC{2, 0, 10, 0, 0, 1}, destination: kernel.MAC{2, 0, 10, 0, 0, 2}, from: ipA, to: ipB,
		ttl: uint8(rnd.Uint32()), tos: uint8(rnd.Uint32()), df: rnd.IntN(2) == 0,
		protocol: pick(rnd, layers.IPProtocolUDP, layers.IPProtocolTCP),
		payload:  text(1 + rnd.IntN(pick(rnd, 100, 3000, 20_000))),
	}
	if rnd.IntN(20) == 0 {
		f.source = strangerMAC
	}
	if rnd.IntN(2) == 0 {
		f.from, f.to = ip6A, ip6B
	}
	most := mtu - f.headerLen()                     // of longer ones GRO decides what is dropped
	size := pick(rnd, most, 300+rnd.IntN(most-299)) // so that queues have room for all pieces
	return f.inSegments(t, port, size)
}

// headerLen is the length of the headers of IP, and of TCP or UDP.
func (f frame) headerLen() int {
	ip, transport := 20, 32
	if f.from.Is6() {
		ip = 40
	}
	if f.protocol == layers.IPProtocolUDP {
		transport = 8
	}
	return ip + transport
}

// inSegments returns a frame that is to be cut into segments with so much payload.
func (f frame) inSegments(t *testing.T, port uint16, size int) []byte {
	ipHeader, kind := 20, byte(gsoTCP4)
	if f.from.Is6() {
		ipHeader, kind = 40, gsoTCP6
	}
	checksumAt := 16
	if f.protocol == layers.IPProtocolUDP {
		checksumAt, kind = 6, gsoUDP
	}
	frame := f.bytes(t)
	start := 14 + ipHeader
	binary.BigEndian.PutUint16(frame[start:], port)
	binary.BigEndian.PutUint16(frame[start+checksumAt:], pseudoSum(f, len(frame)-start))
	header := make([]byte, gsoHeaderLen)
	header[0], header[1] = needsChecksum, kind
	for i, v := range []int{14 + f.headerLen(), size, start, checksumAt} {
		binary.LittleEndian.PutUint16(header[2+2*i:], uint16(v))
	}
	return append(header, frame...)
}

// pseudoSum is what a checksum field has that the card is to complete (RFC 9293, section 3.1).
func pseudoSum(f frame, length int) uint16 {
	sum := uint32(f.protocol) + uint32(length)
	for _, addr := range [][]byte{f.from.AsSlice(), f.to.AsSlice()} {
		for i := 0; i < len(addr); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(addr[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// computeChecksums has the kernel compute the checksums of what hosts send. Between namespaces it does not else.
func computeChecksums(from, to *realHost) {
	for _, h := range []*realHost{from, to} {
		if err := h.stack.Apply(kernel.SetTXChecksum{Name: "eth0"}); err != nil {
			h.Fatal(err)
		}
	}
}

// TestSameSegments sends packets that the kernel cuts up on the way: where they leave the host, or only in
// the other container.
func TestSameSegments(t *testing.T) {
	const cut = "ip link set eth0 gso_max_size 1600"
	unsealed6 := underlays["IPv6 without checksums"]
	for name, test := range map[string]struct {
		underlay underlay
		script   string
		prepare  func(from, to *realHost)
		checksum bool // over IPv4, too
	}{
		"whole":                  {script: ""},
		"cut":                    {script: cut},
		"over IPv6":              {underlay: underlay{ipv6: true}},
		"cut for IPv6":           {underlay: unsealed6, script: cut},
		"cut, with checksums":    {underlay: underlay{ipv6: true}, script: cut, prepare: computeChecksums},
		"with checksums":         {underlay: underlay{device: "udpcsum"}, checksum: true},
		"with CE":                {prepare: func(from, _ *realHost) { from.markCongestion() }},
		"put together":           {prepare: joinOnTheWay},
		"put together for IPv6":  {underlay: unsealed6, prepare: joinOnTheWay},
		"put together and sums":  {underlay: underlay{device: "udpcsum"}, prepare: joinOnTheWay, checksum: true},
		"put together and sums6": {underlay: underlay{ipv6: true}, prepare: joinOnTheWay},
		"put together with CE": {prepare: func(from, to *realHost) {
			from.markCongestion()
			joinOnTheWay(from, to)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newQuietPair(t, test.underlay, test.script)
			for h, want := range map[*realHost]kernel.FastPath{a: a.want(b), b: b.want(a)} {
				want.Checksum = test.checksum
				h.set(want)
				h.keepValid()
			}
			c, d := newQuietPair(t, test.underlay, test.script)
			if test.prepare != nil {
				test.prepare(a, b)
				test.prepare(c, d)
			}
			port := uint16(0)
			arrived := compare(t, newSegmentWire(t, a, b), newSegmentWire(t, c, d),
				func(rnd *rand.Rand) []byte { port++; return randomSegments(t, rnd, port, 1430) },
				func(n uint32) []byte { return append(make([]byte, gsoHeaderLen), newMarker(n)...) })
			taken := a.counted().SentPackets
			if taken == 0 {
				t.Error("the programs took nothing")
			}
			got := b.ownCounters()
			t.Logf("%d arrived; the programs sent %d segments, took in %d, and left %d to the VXLAN device", arrived, taken,
				got.ReceivedPackets, got.UnwrappedPackets)
		})
	}
}

// Segments that would be longer than the MTU are left to the VXLAN device, and so are those whose checksum nobody
// knows yet. (No program can wrap such a packet in BPF_PROG_TEST_RUN, as it has no kind of segments.)
func TestSegmentsNotSent(t *testing.T) {
	const mtu = 1430
	a, b := newPair(t, underlay{ipv6: true, device: "udp6zerocsumtx udp6zerocsumrx"})
	w := newSegmentWire(t, a, b)
	fits := frame{
		source: a.mac(), destination: b.mac(), from: ipA, to: ipB, ttl: 64,
		protocol: layers.IPProtocolTCP, payload: text(3000),
	}
	fits6, udp := fits, fits
	fits6.from, fits6.to = ip6A, ip6B
	udp.protocol = layers.IPProtocolUDP
	longest, tooLong := fits, fits // an outer packet has up to 65,535 bytes, as a frame that no veth cuts up
	longest.payload, tooLong.payload = text(65535-14-overhead6-fits.headerLen()), text(65535-14-fits.headerLen())
	for name, test := range map[string]struct {
		frame    frame
		longer   int // than fits
		checksum bool
		want     bool
	}{
		"TCP":                        {frame: fits, want: true},
		"TCP, too long":              {frame: fits, longer: 1},
		"TCP, many":                  {frame: longest, want: true},
		"TCP, too many":              {frame: tooLong},
		"TCP over IPv6":              {frame: fits6, want: true},
		"TCP over IPv6, too long":    {frame: fits6, longer: 1},
		"UDP":                        {frame: udp, want: true},
		"UDP, too long":              {frame: udp, longer: 1},
		"TCP with an outer checksum": {frame: fits, checksum: true},
	} {
		t.Run(name, func(t *testing.T) {
			wish := a.want(b)
			wish.Checksum = test.checksum
			a.set(wish)
			before := a.counted().SentPackets
			size := mtu - test.frame.headerLen() + test.longer
			if _, err := unix.Write(w.in, test.frame.inSegments(t, 7, size)); err != nil {
				t.Fatal(err)
			}
			want := uint64(0)
			if test.want {
				want = uint64((len(test.frame.payload) + size - 1) / size)
			}
			if sent := a.counted().SentPackets - before; sent != want {
				t.Errorf("the program sent %d segments", sent)
			}
		})
	}
}

// refusedFrame tells an error of a frame that the kernel does not send.
func refusedFrame(err error) bool {
	return errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.EINVAL) ||
		errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}
