package bpfpath

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
)

// The tests here do without encryption: what one host sends by a device of layer 3 comes out of the other's, with what
// the kernel says of checksums and aggregates. TestWireguardContent has the real thing.

// Names of a host's layer-3 devices.
var tunnelNames = []string{"wg0.x", "wg1.x"}

// encryptedMTU is what a network has whose packets may be VXLAN inside WireGuard.
func encryptedMTU(u underlay) int {
	if u.ipv6 {
		return 1500 - 80 - overhead6
	}
	return 1500 - 60 - overhead4
}

// newEncryptedPair makes two hosts whose VXLAN device sends by a layer-3 device, without a fast path.
func newEncryptedPair(t testing.TB, u underlay) (a, b *realHost) {
	t.Helper()
	u.mtu = encryptedMTU(u)
	a, b = newPair(t, u)
	for _, name := range tunnelNames {
		joinTunnels(t, a.openTunnel(name, u), b.openTunnel(name, u))
	}
	a.sendVXLANBy(b, tunnelNames[0])
	b.sendVXLANBy(a, tunnelNames[0])
	return a, b
}

// newQuietEncryptedPair is a pair whose containers' kernels say nothing.
func newQuietEncryptedPair(t *testing.T, u underlay) (a, b *realHost) {
	t.Helper()
	a, b = newEncryptedPair(t, u)
	for _, h := range []*realHost{a, b} {
		h.quiet()
	}
	return a, b
}

// openTunnel makes a layer-3 device as wireguard-go has it.
func (h *realHost) openTunnel(name string, u underlay) *os.File {
	h.Helper()
	var file *os.File
	err := netns.Do(h.path, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq(name)
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_USO4 | unix.TUN_F_USO6
		err = errors.Join(err, unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads))
		file = os.NewFile(uintptr(fd), name)
		return err
	})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { file.Close() })
	h.setUpTunnel(name, u)
	if h.tunnels == nil {
		h.tunnels = make(map[string]*os.File)
	}
	h.tunnels[name] = file
	return file
}

// setUpTunnel lets the hosts' own packets, VXLAN, pass by a layer-3 device.
func (h *realHost) setUpTunnel(name string, u underlay) {
	h.Helper()
	mtu := encryptedMTU(u) + overhead4
	if u.ipv6 {
		mtu = encryptedMTU(u) + overhead6
	}
	h.sh(fmt.Sprintf(`ip link set %s mtu %d txqueuelen 10000 alias "vxlan-driver network 7c7b n" up
		echo 0 > /proc/sys/net/ipv4/conf/%[1]s/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter
		ip -6 rule add oif %[1]s lookup 10%[3]s; ip -6 route add default dev %[1]s table 10%[3]s`, name, mtu, name[2:3]))
}

// joinTunnels passes on what comes out of each of two devices to the other.
func joinTunnels(t testing.TB, a, b *os.File) {
	t.Helper()
	for from, to := range map[*os.File]*os.File{a: b, b: a} {
		go func() {
			packet := make([]byte, 1<<17)
			for {
				n, err := from.Read(packet)
				if err != nil {
					return // closed
				}
				_, _ = to.Write(packet[:n]) // the device may be down, or refuse what no host can have sent
			}
		}()
	}
}

// sendVXLANBy lets a host's VXLAN packets to the other leave by a layer-3 device.
func (h *realHost) sendVXLANBy(other *realHost, name string) {
	h.Helper()
	h.sh(fmt.Sprintf(`bridge fdb del 00:00:00:00:00:00 dev vx.0; bridge fdb del %[2]s dev vx.0
		bridge fdb append 00:00:00:00:00:00 dev vx.0 dst %[1]s via %[3]s
		bridge fdb replace %[2]s dev vx.0 dst %[1]s via %[3]s`, other.vtep, other.mac(), name))
	for _, a := range other.addresses() { // the agent writes these
		h.sh(fmt.Sprintf("ip neigh replace %s lladdr %s dev br0 nud permanent", a, other.mac()))
	}
}

func (h *realHost) addresses() []netip.Addr {
	return []netip.Addr{
		netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", h.number)), netip.MustParseAddr(fmt.Sprintf("fd00::%d", h.number)),
	}
}

// wantEncrypted is the encrypted fast path to the other host.
func (h *realHost) wantEncrypted(other *realHost) kernel.FastPath {
	w := h.want(other)
	w.Encrypted = &kernel.EncryptedPath{
		Send: tunnelNames[0], Receive: slices.Clone(tunnelNames), Takers: []netip.Addr{other.vtep},
	}
	for _, a := range h.addresses() {
		w.Encrypted.Local = append(w.Encrypted.Local, kernel.ContainerAddress{Addr: a, MAC: h.mac()})
	}
	for _, a := range other.addresses() {
		w.Encrypted.Remote = append(w.Encrypted.Remote, kernel.ContainerAddress{Addr: a, MAC: other.mac(), VTEP: other.vtep})
	}
	return w
}

// connectEncrypted lets both hosts' packets pass without a VXLAN header, as if they had known each other for long.
func connectEncrypted(a, b *realHost) {
	a.Helper()
	a.setEncrypted(a.wantEncrypted(b))
	b.setEncrypted(b.wantEncrypted(a))
}

func (h *realHost) setEncrypted(want kernel.FastPath) {
	h.Helper()
	h.set(want)
	h.ageAddresses()
}

// ageAddresses makes a host have known all addresses for long.
func (h *realHost) ageAddresses() {
	h.Helper()
	all, err := dump[programsPlace, programsOwner](h.programs.objects.Addresses)
	if err != nil {
		h.Fatal(err)
	}
	for k, o := range all {
		o.Since = 0
		put(h, h.programs.objects.Addresses, k, o)
	}
}

// encryptedUnderlays are networks between the hosts.
var encryptedUnderlays = map[string]underlay{"IPv4": {}, "IPv6": {ipv6: true}}

// Containers talk by all ways: VXLAN on the layer-3 device, and programs past it. What arrives is what was sent.
func TestEncryptedContent(t *testing.T) {
	for name, u := range encryptedUnderlays {
		for way, connect := range map[string]func(a, b *realHost){
			"VXLAN": func(a, b *realHost) {}, "nftables": setEncryptedBelow, "programs": connectEncrypted,
		} {
			t.Run(name+" "+way, func(t *testing.T) {
				a, b := newEncryptedPair(t, u)
				connect(a, b)
				device := packetSocket(t, a.path, "vx.0")
				a.in("ping -c 2 -i 0.1 -W 5 10.0.0.2; ping -c 2 -i 0.1 -W 5 fd00::2")
				exchangeUDPAndTCP(t, a, b, u)
				if way != "programs" {
					return
				}
				for _, h := range []*realHost{a, b} {
					if c := h.counted(); c.SentPackets < 20 || c.ReceivedPackets < 20 {
						t.Errorf("host %d: %+v", h.number, c)
					}
				}
				if frame := findFrame(t, device, betweenContainers); frame != nil {
					t.Errorf("the VXLAN device saw %x", frame)
				}
			})
		}
	}
}

// betweenContainers tells frames that go straight from the groups and neighbours that bridges and kernels ask for.
func betweenContainers(frame []byte) bool {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.NoCopy)
	if eth, ok := p.LinkLayer().(*layers.Ethernet); !ok || eth.DstMAC[0]&1 != 0 || p.NetworkLayer() == nil {
		return false
	}
	icmp, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	return !ok || slices.Contains([]uint8{layers.ICMPv6TypeEchoRequest, layers.ICMPv6TypeEchoReply}, icmp.TypeCode.Type())
}

// setEncryptedBelow lets packets pass by nftables and tc, as without programs.
func setEncryptedBelow(a, b *realHost) {
	for h, w := range map[*realHost]kernel.FastPath{a: a.wantEncrypted(b), b: b.wantEncrypted(a)} {
		if err := h.net.Redirector.Set(w); err != nil {
			a.Fatal(err)
		}
	}
}
