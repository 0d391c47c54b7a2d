package bpfpath

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
)

// The tests here send the same random frames through two pairs of hosts, one with programs and one
// without. The containers must get the same. FRAMES says how many are sent, and SEED which.

// frameCount is how many frames are sent by default. A million takes a minute.
const frameCount = 5_000

func framesToSend(t *testing.T) int {
	t.Helper()
	text := os.Getenv("FRAMES")
	if text == "" {
		return frameCount
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// wire is one way for frames: where they are put in, and where they come out.
type wire struct {
	in, out int // packet sockets
	// normalize makes comparable what comes out, in the order in which it did; nil: it is sorted.
	normalize func([]string) []string
}

// newWire takes frames to send on a link, and what comes out of a container.
func newWire(t *testing.T, at, link string, to *realHost) wire {
	t.Helper()
	return wire{in: packetSocket(t, at, link), out: packetSocket(t, to.container, "eth0")}
}

func packetSocket(t *testing.T, path, name string) (fd int) {
	t.Helper()
	err := netns.Do(path, func() (err error) {
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // nothing before it is bound
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	index := 0
	err = netns.Do(path, func() (err error) { index, err = linkIndex(name); return err })
	if err == nil {
		err = errors.Join(
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: networkOrder16(unix.ETH_P_ALL), Ifindex: index}),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func linkIndex(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	return int(request.Uint32()), err
}

// pass sends frames and a marker, and returns what comes out before the marker, sorted. The marker is sent twice:
// the first one may overtake what the kernel holds back to put together.
func (w wire) pass(t *testing.T, frames [][]byte, marker []byte) (out []string) {
	t.Helper()
	w.send(t, frames...)
	for range 2 {
		w.send(t, marker)
		out = append(out, w.receiveUntil(t, marker[len(marker)-60:])...)
	}
	if w.normalize != nil {
		out = w.normalize(out)
	}
	slices.Sort(out)
	return out
}

func (w wire) send(t *testing.T, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if _, err := unix.Write(w.in, f); err != nil && !refusedFrame(err) {
			t.Fatalf("send %x: %v", f, err)
		}
	}
}

// receiveUntil returns the test's frames that come out before a marker.
func (w wire) receiveUntil(t *testing.T, marker []byte) (out []string) {
	t.Helper()
	buffer := make([]byte, 1<<16)
	for {
		n, from, err := unix.Recvfrom(w.out, buffer, 0)
		if errors.Is(err, unix.EINTR) { // the runtime's signals end a wait that has a limit
			continue
		}
		if err != nil {
			t.Fatalf("the marker did not arrive: %v", err)
		}
		if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if bytes.Equal(buffer[:n], marker) {
			return out
		}
		if isOfTest(buffer[:n]) {
			out = append(out, string(buffer[:n]))
		}
	}
}

// isOfTest tells a frame from what kernels say by themselves.
func isOfTest(frame []byte) bool {
	mac := kernel.MAC(frame[6:12])
	return mac == kernel.MAC{2, 0, 10, 0, 0, 1} || mac == strangerMAC
}

var strangerMAC = kernel.MAC{2, 0x66}

// newMarker returns a frame that no program takes, with a number of its own. Its type is for experiments
// (IEEE 802), and it goes by the bridge, behind all others.
func newMarker(number uint32) []byte {
	m := make([]byte, 60)
	copy(m, "\x02\x00\x0a\x00\x00\x02\x02\x00\x0a\x00\x00\x01\x88\xb5marker")
	binary.BigEndian.PutUint32(m[20:], number)
	return m
}

// newQuietPair is a pair of hosts whose containers' kernels say nothing.
func newQuietPair(t *testing.T, u underlay, script string) (a, b *realHost) {
	t.Helper()
	a, b = newPair(t, u)
	for _, h := range []*realHost{a, b} {
		h.quiet()
		h.sh(script)
	}
	return a, b
}

// quiet lets a container's kernel say nothing.
func (h *realHost) quiet() {
	h.Helper()
	h.in("sysctl -qw net.ipv6.conf.all.disable_ipv6=1; ip address flush dev eth0; ip link set eth0 arp off")
	// Filters of routed packets would see bridged ones, and cut off what follows the IP packet.
	h.sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 || true; bridge link " +
		"set dev vx.0 learning off")
}

// compare sends random frames through both wires, in batches.
func compare(t *testing.T, a, b wire, random func(*rand.Rand) []byte, mark func(uint32) []byte) (arrived int) {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	rnd := rand.New(rand.NewPCG(seed, 1))
	const batch = 50
	for number := range uint32(framesToSend(t) / batch) {
		var frames [][]byte
		for range batch {
			frames = append(frames, random(rnd))
		}
		withPrograms, without := a.pass(t, frames, mark(number)), b.pass(t, frames, mark(number))
		arrived += len(withPrograms)
		if !slices.Equal(withPrograms, without) {
			t.Fatalf("seed %d: with programs %d arrived, without %d\nonly with    %x\nonly without %x", seed, len(withPrograms), len(without),
				missing(withPrograms, without), missing(without, withPrograms))
		}
	}
	return arrived
}

// missing are those of a that are not in b.
func missing(a, b []string) (list []string) {
	for _, s := range a {
		if !slices.Contains(b, s) {
			list = append(list, s)
		}
	}
	return list
}

// randomFrame returns a frame of a container: mostly a right one, with a few things wrong.
//
// With rightSums the inner checksums are right. An outer one is made from them where there must be one:
// then the other host drops what else the container would drop.
func randomFrame(t *testing.T, rnd *rand.Rand, rightSums bool) []byte {
	f := frame{
		source: kernel.MAC{2, 0, 10, 0, 0, 1}, destination: kernel.MAC{2, 0, 10, 0, 0, 2}, from: ipA, to: ipB,
		ttl: uint8(rnd.Uint32()), tos: uint8(rnd.Uint32()), df: rnd.IntN(2) == 0,
		protocol: pick(rnd, layers.IPProtocolUDP, layers.IPProtocolTCP, layers.IPProtocolICMPv4, layers.IPProtocol(rnd.Uint32())),
		payload:  text(pick(rnd, rnd.IntN(4), rnd.IntN(100), 1300+rnd.IntN(160))), vlan: rnd.IntN(20) == 0,
		noChecksum: rnd.IntN(10) == 0,
	}
	if rnd.IntN(3) == 0 {
		f.from, f.to, f.noChecksum = ip6A, ip6B, false
		f.protocol = pick(rnd, layers.IPProtocolUDP, layers.IPProtocolTCP, layers.IPProtocolICMPv6, layers.IPProtocol(rnd.Uint32()))
	}
	f.noChecksum = f.noChecksum && f.protocol == layers.IPProtocolUDP && f.from.Is4()
	if rnd.IntN(10) == 0 {
		f.fragment = uint16(rnd.IntN(8000))
	}
	if rnd.IntN(10) == 0 {
		f.padding = "fill"[:rnd.IntN(5)]
	}
	if rnd.IntN(20) == 0 {
		f.source = strangerMAC
	}
	if rnd.IntN(20) == 0 {
		f.destination = pick(rnd, kernel.MAC{255, 255, 255, 255, 255, 255}, kernel.MAC{1, 0, 0x5e, 0, 0, 9}, kernel.MAC{2, 7})
	}
	out := f.bytes(t)
	if !rightSums {
		damage(rnd, out, 12)
	}
	return out
}

// damage changes some of the bytes from one on, now and then.
func damage(rnd *rand.Rand, b []byte, from int) {
	if rnd.IntN(4) != 0 {
		return
	}
	for range 1 + rnd.IntN(3) {
		b[from+rnd.IntN(min(70, len(b)-from))] ^= byte(1 << rnd.IntN(8))
	}
}

func pick[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

// comparedUnderlays also has one that takes more than the network does.
func comparedUnderlays() map[string]underlay {
	all := maps.Clone(underlays)
	all["low MTU"] = underlay{mtu: 1380}
	return all
}

// TestSameAsBridge sends frames from a container.
func TestSameAsBridge(t *testing.T) {
	for name, u := range comparedUnderlays() {
		t.Run(name, func(t *testing.T) {
			a, b := newQuietPair(t, u, "")
			connectPair(a, b)
			a.keepValid()
			b.keepValid()
			c, d := newQuietPair(t, u, "")
			arrived := compare(t, newWire(t, a.container, "eth0", b), newWire(t, c.container, "eth0", d),
				func(rnd *rand.Rand) []byte { return randomFrame(t, rnd, u.ipv6 && u.device == "") }, newMarker)
			taken, received := a.counted().SentPackets, b.counted().ReceivedPackets
			if taken == 0 || received == 0 {
				t.Error("the programs took nothing")
			}
			t.Logf("%d arrived; the programs sent %d, and took in %d", arrived, taken, received)
		})
	}
}

// TestSameAsDevice sends VXLAN packets to a host.
func TestSameAsDevice(t *testing.T) {
	for name, u := range comparedUnderlays() {
		t.Run(name, func(t *testing.T) {
			const known = "ip link set eth0 address 02:99:00:00:00:01"
			a, b := newQuietPair(t, u, known)
			connectPair(a, b)
			b.keepValid()
			c, d := newQuietPair(t, u, known)
			arrived := compare(t, newWire(t, a.path, "eth0", b), newWire(t, c.path, "eth0", d),
				func(rnd *rand.Rand) []byte { return randomPacket(t, rnd, u) },
				func(n uint32) []byte { return toHost(carry(t, u, newMarker(n), 0)) })
			received := b.counted().ReceivedPackets
			if received == 0 {
				t.Error("the programs took nothing")
			}
			t.Logf("%d arrived; the programs took in %d", arrived, received)
		})
	}
}

func toHost(packet []byte) []byte {
	copy(packet, []byte{2, 0x99, 0, 0, 0, 1, 2, 0x99, 0, 0, 0, 2})
	return packet
}

// carry wraps a frame as the other host does.
func carry(t *testing.T, u underlay, frame []byte, tos uint8) []byte {
	t.Helper()
	o := outer{from: u.vtep(1), to: u.vtep(2), vni: 100, port: 4789, ttl: 64, tos: tos, checksum: u.ipv6 && u.device == ""}
	return o.wrap(t, frame, 0, 50000)
}

// randomPacket wraps a random frame in mostly right headers.
func randomPacket(t *testing.T, rnd *rand.Rand, u underlay) []byte {
	t.Helper()
	p := toHost(carry(t, u, randomFrame(t, rnd, u.ipv6), uint8(rnd.Uint32())))
	length := 20
	if u.ipv6 {
		length = 40
	}
	if rnd.IntN(3) == 0 {
		damage(rnd, p, 12)
	}
	if rnd.IntN(3) == 0 && !u.ipv6 && p[14] == 0x45 {
		setHeaderChecksum(p[14 : 14+length])
	}
	if rnd.IntN(10) == 0 {
		p = append(p, "more"[:rnd.IntN(5)]...)
	}
	return p
}
