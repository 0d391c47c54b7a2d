package wire

import (
	"net"
	"net/netip"
	"os/exec"
	"reflect"
	"slices"
	"testing"
	"time"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

func sh(t *testing.T, ns, script string) {
	t.Helper()
	err := netns.Do(ns, func() error {
		out, err := exec.Command("sh", "-ec", script).CombinedOutput()
		if err != nil {
			t.Logf("%s", out)
		}
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
}

// A neighbour answers for its addresses, and nobody for others.
func TestProbe(t *testing.T) {
	here, there := netnstest.New(t), netnstest.New(t)
	sh(t, here, "ip link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns "+there)
	sh(t, there, "ip link set eth0 up; ip addr add 10.0.0.2/24 dev eth0; ip addr add fd00::2/64 dev eth0 nodad")
	sh(t, here, "ip link set eth0 up")
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::3")}
	var got []kernel.Holder
	start := time.Now()
	err := netns.Do(here, func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		got, err = Probe(i.Index, kernel.MAC{2, 0, 0, 0, 0, 1}, addrs)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
	slices.SortFunc(got, func(a, b kernel.Holder) int { return a.Addr.Compare(b.Addr) })
	mac := kernel.MAC{2, 0, 0, 0, 0, 2}
	if want := []kernel.Holder{{Addr: addrs[0], MAC: mac}, {Addr: addrs[2], MAC: mac}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Two hosts that look for the same address at once find each other.
func TestAProbeIsFoundByAnother(t *testing.T) {
	mac := kernel.MAC{2, 0, 0, 0, 0, 7}
	for _, addr := range []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")} {
		frame := arpProbe(mac, addr)
		if addr.Is6() {
			frame = solicitation(mac, addr)
		}
		if h, ok := parse(frame); !ok || h != (kernel.Holder{Addr: addr, MAC: mac}) {
			t.Errorf("%s: got %v, %v", addr, h, ok)
		}
	}
}

// What comes from the wire may be anything.
func FuzzParse(f *testing.F) {
	f.Add(arpProbe(kernel.MAC{2}, netip.MustParseAddr("10.0.0.2")))
	f.Add(solicitation(kernel.MAC{2}, netip.MustParseAddr("fd00::2")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, ok := parse(b); ok && !h.Addr.IsValid() {
			t.Errorf("got %v", h)
		}
	})
}
