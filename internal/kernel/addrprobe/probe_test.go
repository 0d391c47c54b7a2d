package addrprobe

import (
	"net"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// A neighbour answers for its addresses, and nobody for others.
func TestProbeFindsOwners(t *testing.T) {
	here, there := netnstest.New(t), netnstest.New(t)
	netnstest.Shell(t, here)("ip link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns " + there)
	netnstest.Shell(t, there)("ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0; ip addr add fd00::2/64 dev eth0 nodad")
	netnstest.WaitForAddrs(t, there)
	netnstest.Shell(t, here)("ip link set eth0 up")
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::3")}
	var got []kernel.ProbeAnswer
	start := time.Now()
	err := netns.Do(here, func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		got, err = Probe(i.Index, kernel.ProbeSender{MAC: kernel.MAC{2, 0, 0, 0, 0, 1}}, addrs)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	slices.SortFunc(got, func(a, b kernel.ProbeAnswer) int { return a.Addr.Compare(b.Addr) })
	mac := kernel.MAC{2, 0, 0, 0, 0, 2}
	if want := []kernel.ProbeAnswer{{Addr: addrs[0], MAC: mac}, {Addr: addrs[2], MAC: mac}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A bridge with neighbour suppression lets only those pass that ask from an address of their own,
// and answers itself what it knows.
func TestProbeThroughNeighbourSuppression(t *testing.T) {
	here, there := netnstest.New(t), netnstest.New(t)
	netnstest.Shell(t, here)(`ip link add br0 address 02:00:00:00:00:01 type bridge; ip link set br0 up
		ip link add port type veth peer name eth0 address 02:00:00:00:00:02 netns ` + there + `
		ip link set port master br0 up; bridge link set dev port neigh_suppress on learning off
		ip neigh add 10.0.0.4 lladdr 02:00:00:00:00:04 dev br0 nud permanent; bridge fdb add 02:00:00:00:00:04 dev port master static
		ip neigh add fd00::4 lladdr 02:00:00:00:00:04 dev br0 nud permanent`)
	netnstest.Shell(t, there)("ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0; ip addr add fd00::2/64 dev eth0 nodad")
	netnstest.WaitForAddrs(t, there)
	var asked, want []netip.Addr
	for _, p := range []string{"10.0.0.", "fd00::"} {
		for i := 2; i <= 4; i++ {
			a := netip.MustParseAddr(p + string(rune('0'+i)))
			asked = append(asked, a)
			if i != 3 {
				want = append(want, a)
			}
		}
	}
	for _, own := range [][]netip.Addr{nil, {netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")}} {
		var holders []kernel.ProbeAnswer
		err := netns.Do(here, func() error {
			i, err := net.InterfaceByName("br0")
			if err != nil {
				return err
			}
			holders, err = Probe(i.Index, kernel.ProbeSender{MAC: kernel.MAC{2, 0, 0, 0, 0, 1}, Addrs: own}, asked)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []netip.Addr
		for _, h := range holders {
			got = append(got, h.Addr)
		}
		slices.SortFunc(got, netip.Addr.Compare)
		if own == nil {
			t.Logf("without an address of its own it hears %v", got)
		} else if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

// Two hosts that look for the same address at once find each other.
func TestSimultaneousProbesFindEachOther(t *testing.T) {
	mac := kernel.MAC{2, 0, 0, 0, 0, 7}
	for _, addr := range []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")} {
		own := []netip.Addr{netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")}
		frames := probeFrames(kernel.ProbeSender{MAC: mac, Addrs: own}, addr)
		if h, ok := parseAnswer(frames[0]); !ok || h != (kernel.ProbeAnswer{Addr: addr, MAC: mac}) || len(frames) != 2 {
			t.Errorf("%s: got %v, %v", addr, h, ok)
		}
		if h, ok := parseAnswer(frames[1]); ok && h.Addr == addr {
			t.Errorf("%s: who wants to send there is taken for who has it: %v", addr, h)
		}
	}
}

// What comes from the wire may be anything.
func FuzzParse(f *testing.F) {
	f.Add(arpRequestFrame(kernel.MAC{2}, netip.IPv4Unspecified(), netip.MustParseAddr("10.0.0.2")))
	f.Add(solicitationFrame(kernel.MAC{2}, netip.IPv6Unspecified(), netip.MustParseAddr("fd00::2")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parseAnswer(b); ok && !h.Addr.IsValid() {
			t.Errorf("got %v", h)
		}
	})
}
