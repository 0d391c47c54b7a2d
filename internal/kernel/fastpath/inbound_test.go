package fastpath

import (
	"errors"
	"slices"
	"testing"

	"vxlan-driver/internal/kernel"
)

// Filters are loaded, added and deleted, each twice. A port that is gone gets none.
func TestFiltersComeAndGo(t *testing.T) {
	h := newRealHost(t)
	h.hasFilters()
	for range 2 {
		h.apply(LoadFilters{"vx0", []kernel.FastPathPort{portOne, {Name: "gone", MAC: kernel.MAC{2, 5: 9}}}})
		h.hasFilters(portOne)
	}
	for range 2 {
		h.apply(AddFilters{"vx0", portTwo})
		h.hasFilters(portOne, portTwo)
	}
	t.Log(h.sh("tc filter show dev vx0 ingress"))
	for range 2 {
		h.apply(DeleteFilters{"vx0", portOne.MAC})
		h.hasFilters(portTwo)
	}
	h.sh("tc qdisc del dev vx0 clsact")
	if have, err := h.Inbound("vx0"); have.Intact || err != nil {
		t.Errorf("without a qdisc: %+v, %v", have, err)
	}
	h.apply(DeleteFilters{"vx0", portOne.MAC}, DeleteFilters{"other", portOne.MAC})
	if err := h.Apply(LoadFilters{Device: "other"}); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// What happens to a port or a filter is seen, as a port without a name or as filters that are not
// intact. As it is found, it can be deleted and added.
func TestFilterDriftDetected(t *testing.T) {
	for name, script := range map[string]string{
		"the port is gone":             "ip link del one",
		"the port is another":          "ip link del one; " + addPortOne,
		"a filter is gone":             "tc filter del dev vx0 ingress protocol ip prio 60004 handle $(tc filter show dev vx0 ingress | sed -n 's/.*fh \\(7f4:1:[0-9a-f]*\\).*/\\1/p' | head -1) u32",
		"all filters of IPv6 are gone": "tc filter del dev vx0 ingress protocol ipv6 prio 60006",
	} {
		t.Run(name, func(t *testing.T) {
			h := newRealHost(t)
			h.apply(LoadFilters{"vx0", []kernel.FastPathPort{portOne}})
			h.sh(script)
			have, err := h.Inbound("vx0")
			if err != nil || have.Intact && slices.Contains(have.Ports, portOne) {
				t.Errorf("got %+v, %v", have, err)
			}
			if have.Intact {
				if !slices.Equal(have.Ports, []kernel.FastPathPort{{MAC: portOne.MAC}}) {
					t.Errorf("got %v", have.Ports)
				}
				h.apply(DeleteFilters{"vx0", portOne.MAC})
				h.sh("ip link show one >/dev/null 2>&1 || { " + addPortOne + "; }")
				h.apply(AddFilters{"vx0", portOne})
				h.hasFilters(portOne)
			}
			h.apply(LoadFilters{"vx0", []kernel.FastPathPort{portTwo}})
			h.hasFilters(portTwo)
		})
	}
}

// No two containers of a network of 250,000 addresses meet in a slot, and no slot is beyond its
// table.
func TestFilterSlotsAreDistinct(t *testing.T) {
	seen := make(map[uint32]bool)
	for n := range 4 * 256 * 256 {
		for _, s := range filterSlots(kernel.MAC{2, 0x36, 10, byte(n >> 16), byte(n >> 8), byte(n)}) {
			if s.handle&^0xfffff != s.id || s.handle&0xfff == 0 || s.handle>>12&0xff != uint32(byte(n)) {
				t.Fatalf("%d: %x", n, s.handle)
			}
			if n < 2047*256 && seen[s.handle] {
				t.Fatalf("%d: %x is taken", n, s.handle)
			}
			seen[s.handle] = true
		}
	}
}

// Filters that a user has on the device stay, and do not count.
func TestFiltersOfOthersStay(t *testing.T) {
	h := newRealHost(t)
	h.sh(`tc qdisc del dev vx0 clsact; tc qdisc add dev vx0 clsact
		tc filter add dev vx0 ingress protocol ip handle 1: u32 divisor 1; tc filter add dev vx0 ingress protocol ip u32 match u32 0 0 link 1:
		tc filter add dev vx0 ingress protocol ip u32 ht 1: match ip src 192.0.2.1 action mirred egress mirror dev "two;x"
		tc filter add dev vx0 egress protocol ip u32 match ip src 192.0.2.1 action mirred egress mirror dev "two;x"`)
	if have, err := h.Inbound("vx0"); len(have.Ports) > 0 || have.Intact || err != nil {
		t.Errorf("got %+v, %v", have, err)
	}
	const others = "tc filter show dev vx0 egress; tc filter show dev vx0 ingress | grep c0000201"
	before := h.sh(others)
	for range 2 {
		h.apply(LoadFilters{"vx0", []kernel.FastPathPort{portOne}})
		h.hasFilters(portOne)
	}
	h.apply(DeleteFilters{"vx0", portOne.MAC})
	h.hasFilters()
	if after := h.sh(others); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

// The bridge is told of a MAC until its port leaves the bridge; what it learned is something else.
func TestStaticPorts(t *testing.T) {
	h := newRealHost(t)
	h.sh("bridge fdb replace " + portTwo.MAC.String() + " dev 'two;x' master dynamic")
	told := func(want ...kernel.FastPathPort) {
		t.Helper()
		have, err := h.StaticPorts("br0", []kernel.MAC{portOne.MAC, portTwo.MAC, {2, 5: 9}})
		if err != nil || len(have) != len(want) {
			t.Errorf("got %v, %v", have, err)
		}
		for _, p := range want {
			if have[p.MAC] != p.Name {
				t.Errorf("%s is at %q, want %q", p.MAC, have[p.MAC], p.Name)
			}
		}
	}
	told()
	for _, p := range []kernel.FastPathPort{portOne, portTwo, portTwo} {
		h.apply(kernel.AddStatic{Name: p.Name, MAC: p.MAC})
	}
	told(portOne, portTwo)
	h.sh("ip link set one nomaster; ip link set one master br0")
	told(portTwo)
}
