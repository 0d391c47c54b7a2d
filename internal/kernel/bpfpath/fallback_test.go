package bpfpath

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/cputime"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
)

// recreateDevice makes the VXLAN device anew, with other attributes.
func (h *realHost) recreateDevice(attributes string) {
	h.Helper()
	h.sh("ip link del vx.0; ip link add vx.0 mtu 1450 type vxlan id 100 dstport 4789 nolearning local " + h.vtep.String() + " " + attributes + "; ip link set vx.0 master br0 up")
}

// TestWithoutTCX wants programs on each kernel from 6.6 on. On an older one the reason must be told, and
// packets go past the bridge by nftables.
func TestWithoutTCX(t *testing.T) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	a, b := newPairOnAnyKernel(t, underlay{})
	if major > 6 || major == 6 && minor >= 6 {
		connectPair(a, b)
		return
	}
	for _, h := range []struct{ this, other *realHost }{{a, b}, {b, a}} {
		w := h.this.want(h.other)
		if err := h.this.net.Set(w); err != nil {
			t.Fatal(err)
		}
		if s := h.this.programs.State("vx.0"); s.Attached || s.Reason != "the kernel has no tcx (Linux 6.6)" {
			t.Errorf("got %+v", s)
		}
		if remote, err := h.this.net.Remote(w); err != nil || !slices.Equal(remote, w.Remote) {
			t.Errorf("past the bridge go packets to %v, %v", remote, err)
		}
		h.this.hasPins("")
	}
	a.in("ping -c 1 -W 5 10.0.0.2")
	exchange(a, b, containerB, 1, 1372)
}

// Programs need an Ethernet interface below.
func TestUnfitUnderlay(t *testing.T) {
	for attributes, want := range map[string]string{
		"dev lo": "the underlay interface lo is not Ethernet",
		"":       "vx.0 has no underlay interface",

		"dev eth0 df set": "outer packets are not to be fragmented (df=set)",
	} {
		a, b := newPair(t, underlay{})
		a.recreateDevice(attributes)
		if err := a.net.Set(a.want(b)); err != nil {
			t.Fatal(err)
		}
		if s := a.programs.State("vx.0"); s.Attached || s.Reason != want {
			t.Errorf("got %+v, want %s", s, want)
		}
		a.hasPins("")
		// With port security nobody asks for a fast path then. It comes back with an underlay.
		secure := a.want(b)
		secure.PortSecurity = true
		if err := a.net.Set(secure); err != nil {
			t.Fatal(err)
		}
		secure.Disable()
		if err := a.net.Set(secure); err != nil {
			t.Fatal(err)
		}
		if s := a.programs.State("vx.0"); s.Reason != want {
			t.Errorf("got %+v, want %s", s, want)
		}
		a.recreateDevice("dev eth0")
		if err := a.net.Set(secure); err != nil {
			t.Fatal(err)
		}
		if s := a.programs.State("vx.0"); s != (State{}) {
			t.Errorf("got %+v", s)
		}
	}
}

// The underlay's MTU is lowered. What no longer fits goes to the VXLAN device, which says so.
func TestLowerUnderlay(t *testing.T) {
	a, b := newPair(t, underlay{})
	for _, h := range []*realHost{a, b} {
		h.sh("ip link set eth0 mtu 1400")
	}
	connectPair(a, b)
	a.in("ping -c 1 -W 5 10.0.0.2")
	send := newDatagrams(t, a, b, "10.0.0.2:5000")
	before := a.counted().SentPackets
	send(text(1350 - 28))
	if a.counted().SentPackets != before+1 {
		t.Error("what just fits was not sent by the program")
	}
	// The VXLAN device tells the container what fits.
	send(text(1350 - 27))
	send(text(1400))
	if route := a.in("ip route get 10.0.0.2"); !strings.Contains(route, "mtu 1350") {
		t.Errorf("the container was told nothing: %s", route)
	}
}

// A router of an IPv6 underlay takes less than both hosts' interfaces. The programs leave long packets to
// the VXLAN device, which tells the container.
func TestNarrowRouter(t *testing.T) {
	requireTCX(t)
	a, b, router := newRealHost(t, 1), newRealHost(t, 2), netnstest.New(t)
	a.sh("ip link add eth0 type veth peer name to1 netns " + router)
	b.sh("ip link add eth0 type veth peer name to2 netns " + router)
	for _, h := range []*realHost{a, b} {
		h.connect(underlay{ipv6: true})
	}
	netnstest.Shell(t, router)(`sysctl -qw net.ipv6.conf.all.forwarding=1; ip link set to1 up; ip link set to2 mtu 1300 up
		for n in 1 2; do ip address add fe80::ff/64 dev to$n nodad; ip route add fd18::$n dev to$n; done
		ip address add fd18::ff/128 dev to1 nodad`)
	for h, other := range map[*realHost]*realHost{a: b, b: a} {
		netnstest.WaitForAddrs(t, h.path)
		h.sh(fmt.Sprintf(`ip route add %[1]s via fe80::ff dev eth0; bridge fdb replace %[2]s dev vx.0 dst %[1]s
			bridge fdb replace %[2]s dev vx.0 master static; bridge fdb append 00:00:00:00:00:00 dev vx.0 dst %[1]s`,
			other.vtep, other.mac()))
	}
	connectPair(a, b)
	if !takes(a, b) {
		t.Error("not by the programs")
	}
	newDatagrams(t, a, b, "10.0.0.2:5001")(text(1372))
	if route := a.in("ip route get 10.0.0.2"); !strings.Contains(route, "mtu 1230") {
		t.Errorf("the container was told nothing: %s", route)
	}
	if !takes(a, b) {
		t.Error("short packets are not by the programs any more")
	}
}

// Ten thousand containers of other hosts are in the table in milliseconds.
func TestManyRemotes(t *testing.T) {
	a, b := newPair(t, underlay{})
	a.set(a.want(b))
	w := a.want(b)
	for i := range 10_000 {
		w.Remote = append(w.Remote, kernel.MAC{2, 1, 0, 0, byte(i >> 8), byte(i)})
		w.FDB = append(w.FDB, kernel.FDB{Dst: netip.AddrFrom4([4]byte{198, 18, byte(i % 4), byte(i)})})
	}
	index, err := a.net.ns.Index("vx.0")
	if err != nil {
		t.Fatal(err)
	}
	took := cputime.Of(t, func() {
		if err := a.programs.setRemotes(w, uint32(index)); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("10,000 remote containers took %v", took)
	if took > 500*time.Millisecond { // ten times what is wanted, as the race detector slows it down
		t.Errorf("it took %v", took)
	}
	remotes, err := dump[programsStation, programsRemote](a.programs.objects.Remotes)
	if err != nil || len(remotes) != 10_001 {
		t.Errorf("%d are in the table, %v", len(remotes), err)
	}
}
