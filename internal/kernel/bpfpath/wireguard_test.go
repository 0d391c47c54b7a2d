package bpfpath

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/wireguard"
)

// wireguardNames are of no other test and no other run: sockets are found by a device's name in all namespaces.
var wireguardNames atomic.Int32

// eachWireguard runs a test with each implementation of WireGuard.
func eachWireguard(t *testing.T, test func(t *testing.T, i wireguard.Implementation)) {
	for _, i := range []wireguard.Implementation{wireguard.InKernel, wireguard.WireGuardGo} {
		t.Run(string(i), func(t *testing.T) { test(t, i) })
	}
}

// requireImplementation skips the test where this kernel has no WireGuard, and says so.
func (h *realHost) requireImplementation(i wireguard.Implementation) {
	h.Helper()
	if i != wireguard.InKernel {
		return
	}
	said := h.sh("ip link add wg.probe type wireguard 2>&1 || exit 0; ip link del wg.probe")
	if strings.Contains(said, "Unknown device type") || strings.Contains(said, "not supported") {
		h.Skip("the kernel has no WireGuard devices: `ip link add type wireguard` is refused")
	}
	if said != "" {
		h.Fatal(said)
	}
}

// newWireguardPair makes two hosts whose VXLAN devices send by WireGuard.
func newWireguardPair(t testing.TB, i wireguard.Implementation, u underlay) (a, b *wireguardHost) {
	t.Helper()
	return newMixedPair(t, i, i, u)
}

// newMixedPair makes two hosts of which each has its own implementation of WireGuard.
func newMixedPair(t testing.TB, i, j wireguard.Implementation, u underlay) (a, b *wireguardHost) {
	t.Helper()
	if u.mtu == 0 {
		u.mtu = encryptedMTU(u)
	}
	x, y := newPair(t, u)
	x.requireImplementation(i)
	a, b = newWireguardHost(x, i, u), newWireguardHost(y, j, u)
	a.meet(b)
	a.sendVXLANBy(b.realHost, a.device.Name)
	b.sendVXLANBy(a.realHost, b.device.Name)
	return a, b
}

// wireguardHost is a host with a WireGuard device.
type wireguardHost struct {
	*realHost
	host   *wireguard.Host
	device wireguard.Device
	state  wireguard.State
}

// newWireguardHost gives a host another WireGuard device.
func newWireguardHost(h *realHost, i wireguard.Implementation, u underlay) *wireguardHost {
	h.Helper()
	key, err := wireguard.NewPrivateKey()
	if err != nil {
		h.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		h.Fatal(err)
	}
	e := &wireguardHost{realHost: h, host: &wireguard.Host{
		Namespace: h.path, WithoutKernel: i == wireguard.WireGuardGo, Log: slog.New(slog.DiscardHandler),
		Start: wireguard.Launcher{Program: self, Namespace: h.path, Log: os.Stderr}.Start,
	}}
	name := fmt.Sprintf("wg.%d.%d", os.Getpid(), wireguardNames.Add(1))
	e.device = wireguard.Device{
		Name: name, Alias: "vxlan-driver network 7c7b n", MTU: wireguardMTU(u), PrivateKey: key, IPv6: u.ipv6,
	}
	h.Cleanup(func() {
		if err := e.host.Remove(name); err != nil {
			h.Error(err)
		}
	})
	if e.state, err = e.host.Ensure(h.Context(), e.device); err != nil {
		h.Fatal(err)
	}
	if e.state.Implementation != i {
		h.Fatalf("wanted %s, got %+v", i, e.state)
	}
	return e
}

// wireguardMTU is what fits the underlay inside WireGuard.
func wireguardMTU(u underlay) int {
	if u.ipv6 {
		return 1500 - 80
	}
	return 1500 - 60
}

// meet makes the devices of two hosts each other's peers, and waits for their session. Only the other one knows where
// its peer is, and begins. If both begin at once, wireguard-go may drop both answers and try again 25 seconds later, or
// mix both up and then take nothing that comes for 20 seconds. Containers' neighbours have given up by then.
func (e *wireguardHost) meet(other *wireguardHost) {
	e.Helper()
	e.addPeer(other, netip.AddrPort{})
	other.addPeer(e, netip.AddrPortFrom(e.vtep, e.state.Port))
	e.awaitHandshake(other)
	other.awaitHandshake(e)
	e.addPeer(other, netip.AddrPortFrom(other.vtep, other.state.Port))
}

// addPeer lets a host have the other's VTEP and addresses of its container behind its key. The last addresses are
// the hosts' own, which only benchmarks use.
func (e *wireguardHost) addPeer(other *wireguardHost, endpoint netip.AddrPort) {
	e.Helper()
	peer := wireguard.Peer{PublicKey: other.device.PrivateKey.Public(), Endpoint: endpoint}
	for _, a := range append(other.addresses(), other.vtep, other.inside()) {
		peer.AllowedIPs = append(peer.AllowedIPs, netip.PrefixFrom(a, a.BitLen()))
	}
	if err := e.host.UpdatePeers(e.device.Name, []wireguard.Peer{peer}, nil); err != nil {
		e.Fatal(err)
	}
}

// awaitHandshake waits for the session with the other host.
func (e *wireguardHost) awaitHandshake(other *wireguardHost) {
	e.Helper()
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		state, err := e.host.State(e.device.Name)
		if err != nil {
			e.Fatal(err)
		}
		if !state.Peers[0].LastHandshake.IsZero() {
			return
		}
		if time.Since(began) > connectionDeadline {
			e.Fatalf("no handshake with host %d", other.number)
		}
	}
}

// inside is an address of the host inside WireGuard.
func (h *realHost) inside() netip.Addr { return netip.AddrFrom4([4]byte{10, 8, 0, byte(h.number)}) }

// connectWireguard lets packets pass without a VXLAN header.
func connectWireguard(a, b *wireguardHost) {
	a.Helper()
	a.sendStraight(b)
	b.sendStraight(a)
}

// sendStraight lets a host's packets to the other leave by its device, and come by that or by others.
func (e *wireguardHost) sendStraight(to *wireguardHost, others ...string) {
	e.Helper()
	w := e.wantEncrypted(to.realHost)
	w.Encrypted.Send, w.Encrypted.Receive = e.device.Name, append(others, e.device.Name)
	e.setEncrypted(w)
}

// Content arrives as it was sent by real WireGuard. Nothing of it can be read on the underlay.
func TestWireguardContent(t *testing.T) {
	eachWireguard(t, func(t *testing.T, i wireguard.Implementation) {
		for name, u := range encryptedUnderlays {
			t.Run(name, func(t *testing.T) {
				a, b := newWireguardPair(t, i, u)
				testWireguardContent(t, a, b, u)
			})
		}
	})
}

// A host whose kernel has WireGuard and one that needs wireguard-go understand each other.
func TestMixedWireguardContent(t *testing.T) {
	for name, u := range encryptedUnderlays {
		t.Run(name, func(t *testing.T) {
			a, b := newMixedPair(t, wireguard.InKernel, wireguard.WireGuardGo, u)
			testWireguardContent(t, a, b, u)
		})
	}
}

func testWireguardContent(t *testing.T, a, b *wireguardHost, u underlay) {
	t.Helper()
	a.in("ping -c 1 -W 5 10.0.0.2; ping -c 1 -W 5 fd00::2") // VXLAN inside
	connectWireguard(a, b)
	wire, device := packetSocket(t, b.path, "eth0"), packetSocket(t, a.path, "vx.0")
	if !goesStraight(a.realHost, b.realHost) {
		t.Error("not by the programs")
	}
	a.in("ping -c 2 -i 0.1 -W 5 fd00::2")
	exchangeUDPAndTCP(t, a.realHost, b.realHost, u)
	for _, h := range []*wireguardHost{a, b} {
		if c := h.ownCounters(); c.SentPackets < 20 || c.ReceivedPackets < 20 {
			t.Errorf("host %d: %+v", h.number, c)
		}
	}
	if sees(t, wire, text(300)[:40]) {
		t.Error("what containers send can be read on the underlay")
	}
	if frame := findFrame(t, device, betweenContainers); frame != nil {
		t.Errorf("the VXLAN device saw %x", frame)
	}
}

// exchangeUDPAndTCP sends streams, datagrams of odd sizes and such that are cut up, and compares what arrives.
func exchangeUDPAndTCP(t *testing.T, a, b *realHost, u underlay) {
	t.Helper()
	sendSegments(t, a, b, 1201)
	for _, address := range []string{"10.0.0.2:80", "[fd00::2]:80"} {
		exchangeStream(t, a, b, address)
	}
	mtu := encryptedMTU(u)
	for _, address := range []string{"10.0.0.2:5000", "[fd00::2]:5000"} {
		send := newDatagrams(t, a, b, address)
		sizes := []int{0, 1, 2, 17, 18, 19, 333, 4001, 20_001}
		for more := range 3 { // around the longest datagrams of one packet
			sizes = append(sizes, mtu-29+more, mtu-49+more)
		}
		for _, size := range sizes {
			send(text(size))
		}
	}
}

// A datagram of IPv6 arrives whose checksum comes out as 0: one without a checksum would be dropped.
func TestWireguardZeroChecksum(t *testing.T) {
	eachWireguard(t, func(t *testing.T, i wireguard.Implementation) {
		a, b := newWireguardPair(t, i, underlay{})
		connectWireguard(a, b)
		var l net.PacketConn
		err := netns.Do(b.container, func() (err error) {
			l, err = net.ListenPacket("udp", "[fd00::2]:5001")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c := a.dial("udp", "[fd00::2]:5001")
		defer c.Close()
		payload := payloadOfZeroChecksum(a.addresses()[1], b.addresses()[1], c.LocalAddr().(*net.UDPAddr).Port, 5001)
		before := a.ownCounters()
		if _, err := c.Write(payload); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 100)
		_ = l.SetReadDeadline(time.Now().Add(connectionDeadline))
		if n, _, err := l.ReadFrom(got); err != nil || !bytes.Equal(got[:n], payload) {
			t.Errorf("got %x, %v", got[:n], err)
		}
		if a.ownCounters().SentPackets == before.SentPackets {
			t.Error("it was not sent by the programs")
		}
	})
}

// payloadOfZeroChecksum returns what makes the sum of a datagram of IPv6 0xffff, and so its checksum 0.
func payloadOfZeroChecksum(from, to netip.Addr, fromPort, toPort int) []byte {
	header := append(from.AsSlice(), to.AsSlice()...)
	for _, field := range []int{unix.IPPROTO_UDP, 10, fromPort, toPort, 10} {
		header = binary.BigEndian.AppendUint16(header, uint16(field))
	}
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return binary.BigEndian.AppendUint16(nil, ^uint16(sum))
}

// A member's packet whose source is another's does not come out of WireGuard. One that is a container's of its own, but
// that this host has not heard of, is nobody's.
func TestWireguardProvesSenders(t *testing.T) {
	eachWireguard(t, func(t *testing.T, i wireguard.Implementation) {
		a, b := newWireguardPair(t, i, underlay{})
		connectWireguard(a, b)
		if !goesStraight(a.realHost, b.realHost) {
			t.Fatal("not by the programs")
		}
		a.in("ip address add 10.0.0.77/24 dev eth0")
		w := a.wantEncrypted(b.realHost)
		w.Encrypted.Send, w.Encrypted.Receive = a.device.Name, []string{a.device.Name}
		extra := kernel.ContainerAddress{Addr: netip.MustParseAddr("10.0.0.77"), MAC: a.mac()}
		w.Encrypted.Local = append(w.Encrypted.Local, extra)
		a.setEncrypted(w)
		before := b.ownCounters()
		sent := a.ownCounters()
		a.in("ping -c 1 -W 1 -I 10.0.0.77 10.0.0.2 || true")
		if got := a.ownCounters(); got.SentPackets == sent.SentPackets {
			t.Error("it was not sent")
		}
		if !goesStraight(a.realHost, b.realHost) { // so that all before it has come out of WireGuard
			t.Error("not by the programs")
		}
		if got := b.ownCounters(); got.ReceivedPackets != before.ReceivedPackets+1 {
			t.Error("it was taken")
		}
	})
}
