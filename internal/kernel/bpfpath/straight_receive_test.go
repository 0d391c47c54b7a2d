package bpfpath

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// comeBy lets a packet come by a layer-3 device, with what the kernel is told of it (struct virtio_net_hdr).
func (h *realHost) comeBy(name string, header, packet []byte) {
	h.Helper()
	if header == nil {
		header = make([]byte, gsoHeaderLen)
	}
	if _, err := h.tunnels[name].Write(slices.Concat(header, packet)); err != nil {
		h.Fatal(err)
	}
}

// framesOf returns the frames that a socket has from a's container, within a moment.
func framesOf(t *testing.T, socket int, source kernel.MAC) (frames [][]byte) {
	t.Helper()
	time.Sleep(20 * time.Millisecond)
	buffer := make([]byte, 1<<16)
	for {
		n, _, err := unix.Recvfrom(socket, buffer, unix.MSG_DONTWAIT)
		if err == unix.EAGAIN {
			return frames
		}
		if err != nil {
			t.Fatal(err)
		}
		if kernel.MAC(buffer[6:12]) == source {
			frames = append(frames, bytes.Clone(buffer[:n]))
		}
	}
}

// fromContainerA is a frame from host 1's container to host 2's.
func fromContainerA(f frame) frame {
	f.source, f.destination = kernel.MAC{2, 0, 10, 0, 0, 1}, kernel.MAC{2, 0, 10, 0, 0, 2}
	f.from, f.to = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	return f
}

func fromContainerA6(f frame) frame {
	f = fromContainerA(f)
	f.from, f.to = netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")
	return f
}

// A container gets what comes by WireGuard with an Ethernet header that is as if it had come over the bridge, by
// whichever way the host hands it over.
func TestStraightReceived(t *testing.T) {
	noAgent := func(h *realHost) { put(h, h.programs.objects.ValidJiffies, uint32(0), uint64(1)) }
	for name, prepare := range map[string]func(h, other *realHost){
		"programs":          func(h, other *realHost) {},
		"no agent for long": func(h, other *realHost) { noAgent(h) },
		"port left out": func(h, other *realHost) {
			h.sh("nft 'add table netdev mine; add chain netdev mine in { type filter hook ingress device c0 priority 10; }'")
			const why = "the table netdev mine of another program filters packets of c0"
			h.setWithout(other, State{LeftOut: 1, LeftOutReason: why})
		},
		"device left out": func(h, other *realHost) {
			h.sh("tc qdisc add dev vx.0 root tbf rate 100mbit burst 64kbit latency 400ms")
			h.setWithout(other, State{Reason: "vx.0 has a queueing discipline (tbf)"})
		},
		"evicted": func(h, other *realHost) {
			if err := h.stack.EvictFastPath("vx.0", h.mac()); err != nil {
				h.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newQuietEncryptedPair(t, underlay{})
			connectEncrypted(a, b)
			prepare(b, a)
			socket := packetSocket(t, b.container, "eth0")
			for _, f := range []frame{
				fromContainerA(udpFrame(0)), fromContainerA(udpFrame(333)), fromContainerA(udpFrame(1390 - 28)),
				fromContainerA(straightFrame(layers.IPProtocolTCP, 78)), fromContainerA(straightFrame(47, 5)),
				fromContainerA(frame{protocol: layers.IPProtocolUDP, ttl: 1, tos: 0xb8, fragment: 7, payload: text(64)}),
				fromContainerA6(frame{protocol: layers.IPProtocolUDP, ttl: 3, payload: text(41)}),
			} {
				want := f.bytes(t)
				for _, device := range tunnelNames {
					b.comeBy(device, nil, want[14:])
					if got := framesOf(t, socket, a.mac()); len(got) != 1 || !bytes.Equal(got[0], want) {
						t.Errorf("by %s: got  %x\nwant %x", device, got, want)
					}
				}
			}
			if c := b.ownCounters(); c.ReceivedPackets < 14 || c.UnwrappedPackets != 0 {
				t.Errorf("counted %+v", c)
			}
		})
	}
}

// setWithout sets the fast path while the programs may not take packets of containers, and wants the state.
func (h *realHost) setWithout(other *realHost, want State) {
	h.Helper()
	if err := h.net.Set(h.wantEncrypted(other)); err != nil {
		h.Fatal(err)
	}
	if s := h.programs.State("vx.0"); s != want {
		h.Errorf("the state is %+v", s)
	}
	if names := h.programs.TakesIP("vx.0"); !slices.Equal(names, tunnelNames) {
		h.Errorf("the programs take packets of %v", names)
	}
}

// What a container gets may be an aggregate, whose checksum is left to whoever cuts it up.
func TestStraightAggregateReceived(t *testing.T) {
	a, b := newQuietEncryptedPair(t, underlay{})
	connectEncrypted(a, b)
	socket := packetSocket(t, b.container, "eth0")
	long := fromContainerA(straightFrame(layers.IPProtocolTCP, 5000))
	for size, want := range map[int]int{1390 - 52: 1, 999: 1, 1390 - 51: 0} {
		segments := long.inSegments(t, 4000, size)
		header, packet := bytes.Clone(segments[:gsoHeaderLen]), segments[gsoHeaderLen+14:]
		for _, at := range []int{2, 6} { // the length of headers, and where checksums begin, had Ethernet in it
			binary.LittleEndian.PutUint16(header[at:], binary.LittleEndian.Uint16(header[at:])-14)
		}
		b.comeBy("wg0.x", header, packet)
		got := framesOf(t, socket, a.mac())
		if len(got) != want || want == 1 && !bytes.Equal(got[0][14:], packet) {
			t.Errorf("segments of %d bytes: %d frames", size, len(got))
		}
	}
	if c := b.ownCounters(); c.ReceivedPackets != 4+6 {
		t.Errorf("counted %+v", c)
	}
}

// What no other host may send, or only as VXLAN, reaches no container without a VXLAN header. Nor does the host
// forward it: its firewall, which is not there, would drop it.
func TestStraightNotReceived(t *testing.T) {
	with := func(change func(*frame)) []byte { f := fromContainerA(udpFrame(9)); change(&f); return f.bytes(t) }
	raw6 := func(protocol byte, payload []byte) []byte {
		f := fromContainerA6(frame{ttl: 255, payload: payload}).bytes(t)
		f[14+6] = protocol
		return f
	}
	mappedA := mapped(t)
	for at, addr := range map[int]string{14 + 8: "10.0.0.1", 14 + 24: "10.0.0.2"} {
		as16 := netip.MustParseAddr(addr).As16()
		copy(mappedA[at:], as16[:])
	}
	a, b := newQuietEncryptedPair(t, underlay{})
	connectEncrypted(a, b)
	b.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")
	socket := packetSocket(t, b.container, "eth0")
	for name, f := range map[string][]byte{
		"from nobody":            with(func(f *frame) { f.from = netip.MustParseAddr("10.0.0.9") }),
		"from a container here":  with(func(f *frame) { f.from = f.to }),
		"from the VTEP":          with(func(f *frame) { f.from = a.vtep }),
		"for nobody":             with(func(f *frame) { f.to = netip.MustParseAddr("10.0.0.9") }),
		"back to the other":      with(func(f *frame) { f.to = f.from }),
		"multicast":              with(func(f *frame) { f.to = netip.MustParseAddr("224.0.0.1") }),
		"too long":               with(func(f *frame) { f.payload = text(1390 - 28 + 1) }),
		"longer than it says":    with(func(f *frame) { f.padding = "fill" }),
		"shorter than it says":   fromContainerA(udpFrame(99)).bytes(t)[:90],
		"IGMP":                   fromContainerA(straightFrame(2, 8)).bytes(t),
		"neighbour solicitation": raw6(icmp6Number, icmp6(neighbourQuery)),
		"behind options":         raw6(0, append([]byte{icmp6Number, 0, 1, 4, 0, 0, 0, 0}, icmp6(neighbourQuery)...)),
		"mapped addresses":       mappedA,
	} {
		t.Run(name, func(t *testing.T) {
			b.comeBy("wg0.x", nil, f[14:])
			time.Sleep(20 * time.Millisecond)
			buffer := make([]byte, 1<<16)
			for {
				n, _, err := unix.Recvfrom(socket, buffer, unix.MSG_DONTWAIT)
				if err == unix.EAGAIN {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(buffer[:n], f[14+8:min(len(f), 50)]) {
					t.Errorf("the container got %x", buffer[:n])
				}
			}
		})
	}
	b.comeBy("wg0.x", nil, with(func(*frame) {})[14:])
	if got := framesOf(t, socket, a.mac()); len(got) != 1 {
		t.Errorf("%d packets that may come did", len(got))
	}
}

// What a host has marked packets with is no container's matter.
func TestStraightMark(t *testing.T) {
	a, b := newEncryptedPair(t, underlay{})
	connectEncrypted(a, b)
	b.sh(`nft 'add table netdev marks; add chain netdev marks in { type filter hook ingress device wg0.x priority -400; }
		add rule netdev marks in meta mark set 7 counter'`)
	b.in(`nft 'add table inet seen; add chain inet seen in { type filter hook prerouting priority 0; }
		add rule inet seen in udp dport 5000 meta mark 7 counter'`)
	exchange(a, b, containerB, 9)
	if rules := b.in("nft list table inet seen"); !strings.Contains(rules, "packets 0") {
		t.Errorf("the container sees the host's mark: %s", rules)
	}
}
