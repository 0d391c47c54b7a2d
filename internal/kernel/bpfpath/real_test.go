package bpfpath

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/netstack"
)

// realHost is a namespace with a network, whose VXLAN device is vx.0 on br0, and one container.
type realHost struct {
	testing.TB
	number    int
	path      string
	sh        func(script string) string
	in        func(script string) string // in the container
	container string                     // its namespace
	programs  *Programs
	net       Path
	stack     *Stack
	vtep      netip.Addr
	tunnels   map[string]*os.File // layer-3 devices
}

// Addresses of host 1 and 2, and of their containers.
func (h *realHost) mac() kernel.MAC { return kernel.MAC{2, 0, 10, 0, 0, byte(h.number)} }

// bpfMount mounts a BPF file system for a test, and returns where a host may pin things.
func bpfMount(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Skipf("no BPF file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(dir, "vxlan-driver", "netns-1")
}

// underlay is how the two hosts are connected.
type underlay struct {
	ipv6   bool
	device string // attributes of the VXLAN device
	mtu    int    // of the network; 0: 1450, or 1430 over IPv6
	netkit bool   // containers have a netkit device instead of a veth
}

// container is the kind of a container's link.
func (u underlay) container() string {
	if u.netkit {
		return "netkit mode l2"
	}
	return "veth"
}

func (u underlay) vtep(number int) netip.Addr {
	if u.ipv6 {
		return netip.MustParseAddr(fmt.Sprintf("fd18::%d", number))
	}
	return netip.MustParseAddr(fmt.Sprintf("198.18.0.%d", number))
}

// newPair makes two hosts that are connected by a veth, without a fast path, on a kernel that can have
// programs.
func newPair(t testing.TB, u underlay) (a, b *realHost) {
	t.Helper()
	requireTCX(t)
	return newPairOnAnyKernel(t, u)
}

func requireTCX(t testing.TB) {
	t.Helper()
	if err := checkTCX(); errors.Is(err, errNoTCX) {
		t.Skip(err)
	}
}

func newPairOnAnyKernel(t testing.TB, u underlay) (a, b *realHost) {
	t.Helper()
	a, b = newRealHost(t, 1), newRealHost(t, 2)
	a.sh("ip link add eth0 type veth peer name eth0 netns " + b.path)
	for _, h := range []*realHost{a, b} {
		h.connect(u)
	}
	for _, h := range []*realHost{a, b} {
		netnstest.WaitForAddrs(t, h.path)
		netnstest.WaitForAddrs(t, h.container)
		other := a
		if h == a {
			other = b
		}
		h.sh(fmt.Sprintf("bridge fdb replace %s dev vx.0 dst %s; bridge fdb replace %[1]s dev vx.0 master static; bridge fdb append 00:00:00:00:00:00 dev vx.0 dst %[2]s", other.mac(), u.vtep(other.number)))
	}
	return a, b
}

func newRealHost(t testing.TB, number int) *realHost {
	t.Helper()
	h := &realHost{TB: t, number: number, path: netnstest.New(t), container: netnstest.New(t)}
	h.sh, h.in = netnstest.Shell(t, h.path), netnstest.Shell(t, h.container)
	h.programs = &Programs{Dir: bpfMount(t)}
	h.open()
	return h
}

// open is what an agent does that starts.
func (h *realHost) open() {
	h.Helper()
	stack, err := h.programs.Open(h.path)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(stack.Close)
	h.net, h.stack = stack.path, stack
}

func (h *realHost) connect(u underlay) {
	h.Helper()
	h.vtep = u.vtep(h.number)
	bits, mtu := 24, 1450
	if u.ipv6 {
		bits, mtu = 64, 1430
	}
	if u.mtu != 0 {
		mtu = u.mtu
	}
	nodad := ""
	if u.ipv6 {
		nodad = "nodad"
	}
	h.sh(fmt.Sprintf(`ip link set lo up; ip link set eth0 up; ip address add %s/%d dev eth0 %s
		ip link add br0 type bridge; ip link set br0 up
		ip link add vx.0 mtu %d type vxlan id 100 dstport 4789 local %[1]s dev eth0 nolearning %[5]s
		ip link set vx.0 master br0 up
		ip link add c0 mtu %[4]d type %[8]s peer name eth0 mtu %[4]d address %[6]s netns %[7]s
		ip link set c0 master br0 up`, h.vtep, bits, nodad, mtu, u.device, h.mac(), h.container, u.container()))
	h.in(fmt.Sprintf(`ip link set lo up; ip link set eth0 up; ip address add 10.0.0.%d/24 dev eth0; ip address add fd00::%[1]d/64 dev eth0 nodad`, h.number))
	h.sh(`for i in $(seq 500); do
			[ $(bridge link | grep -c 'state forwarding') -lt 2 ] || exit 0
			sleep 0.01
		done
		bridge link; exit 1`)
}

// want is the fast path to the other host.
func (h *realHost) want(other *realHost) kernel.FastPath {
	return kernel.FastPath{
		Device: "vx.0", Bridge: "br0", Remote: []kernel.MAC{other.mac()}, FDB: []kernel.FDB{{MAC: other.mac(), Dst: other.vtep}},
		Ports: []kernel.FastPathPort{{Name: "c0", MAC: h.mac()}}, RemoteCount: 1,
	}
}

// set sets the fast path, and wants packets to go by the programs.
func (h *realHost) set(want kernel.FastPath) {
	h.Helper()
	if err := h.net.Set(want); err != nil {
		h.Fatal(err)
	}
	if state := h.programs.State("vx.0"); !state.Attached {
		h.Fatalf("no programs: %+v", state)
	}
}

// connectPair lets both hosts' packets go by programs.
func connectPair(a, b *realHost) {
	a.Helper()
	a.set(a.want(b))
	b.set(b.want(a))
}

// counted returns what a host's programs took of the other's container. What they got from the VXLAN device is
// received, too.
func (h *realHost) counted() (sum programsCounters) {
	h.Helper()
	sum = h.ownCounters()
	sum.ReceivedPackets += sum.UnwrappedPackets
	return sum
}

// ownCounters returns what a host's programs took of the other's container.
func (h *realHost) ownCounters() (sum programsCounters) {
	h.Helper()
	for index := uint32(1); index < 4; index++ {
		c, err := h.programs.read(index)
		if err != nil {
			h.Fatal(err)
		}
		sum = sum.plus(c)
	}
	return sum
}

// hasPins wants files to be pinned, below the networks.
func (h *realHost) hasPins(want string) {
	h.Helper()
	var have []string
	_ = filepath.WalkDir(h.programs.Dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			have = append(have, strings.TrimPrefix(path, h.programs.layoutDir()+"/"))
		}
		return nil
	})
	if got := strings.Join(have, " "); got != want {
		h.Errorf("pinned: got  %s\nwant %s", got, want)
	}
}

// TestSmallPackets sends datagrams between containers. The programs take those of both ways. What is not
// TCP or UDP is seen on the VXLAN device, as without programs.
func TestSmallPackets(t *testing.T) {
	for name, u := range map[string]underlay{
		"IPv4": {}, "IPv6": {ipv6: true},
		"IPv6 without checksums": {ipv6: true, device: "udp6zerocsumtx udp6zerocsumrx"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, u)
			a.in("ping -c 1 -W 5 10.0.0.2; ping -c 1 -W 5 fd00::2") // neighbours
			connectPair(a, b)
			exchange(a, b, containerB, 0, 1, 56, 333, 1000, 1372)
			exchange(a, b, "[fd00::2]:5000", 0, 1)
			wantTaken := func() {
				t.Helper()
				for _, h := range []*realHost{a, b} {
					if c := h.counted(); c.SentPackets != 8 || c.ReceivedPackets != 8 {
						t.Errorf("host %d: %+v", h.number, c)
					}
				}
			}
			wantTaken()
			before := a.seenByDevice()
			a.in("ping -c 3 -i 0.1 -W 5 10.0.0.2; ping -c 3 -i 0.1 -W 5 fd00::2")
			if seen := a.seenByDevice() - before; seen < 12 {
				t.Errorf("the VXLAN device saw %d packets of six pings", seen)
			}
			wantTaken()
		})
	}
}

// seenByDevice is how many packets the VXLAN device has sent and received.
func (h *realHost) seenByDevice() uint64 {
	h.Helper()
	counters, err := netstack.ReadCounters(h.path, []string{"vx.0"})
	if err != nil {
		h.Fatal(err)
	}
	l := counters.Links["vx.0"]
	return l.SentPackets + l.ReceivedPackets
}
