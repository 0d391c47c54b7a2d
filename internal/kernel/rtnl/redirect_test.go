package rtnl

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
)

// redirected is a namespace with a KindVXLAN device, and two ports of a bridge; and a shell in it.
func redirected(t *testing.T) (*Conn, func(string) string) {
	t.Helper()
	ns := netnstest.New(t)
	c, err := Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	sh := netnstest.Shell(t, ns)
	sh(`ip link add br0 type bridge; ip link set br0 up
		ip link add vx0 type vxlan id 7 dstport 4789 local 127.0.0.1; ip link set vx0 master br0 up
		for p in one two; do ip link add $p type veth peer name $p-end; ip link set $p master br0 up; ip link set $p-end up; done`)
	err = c.Apply(kernel.SetRedirects{Device: "vx0"})
	if errors.Is(err, kernel.ErrNoFastPath) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c, sh
}

var (
	portOne = kernel.FastPathPort{Name: "one", MAC: kernel.MAC{2, 0x36, 10, 0, 0, 1}}
	portTwo = kernel.FastPathPort{Name: "two", MAC: kernel.MAC{2, 0x36, 10, 0, 1, 1}} // in the same bucket
)

// leadsTo compares without order.
func leadsTo(t *testing.T, c *Conn, want ...kernel.FastPathPort) {
	t.Helper()
	got, intact, err := c.Redirects("vx0")
	slices.SortFunc(got, func(a, b kernel.FastPathPort) int { return strings.Compare(a.MAC.String(), b.MAC.String()) })
	if err != nil || !intact || !slices.Equal(got, want) {
		t.Errorf("got %v, intact: %v, %v; want %v", got, intact, err, want)
	}
}

func change(t *testing.T, c *Conn, ch kernel.Change) {
	t.Helper()
	if err := c.Apply(ch); err != nil {
		t.Fatal(err)
	}
}

func TestRedirects(t *testing.T) {
	c, sh := redirected(t)
	leadsTo(t, c)
	for range 2 {
		change(t, c, kernel.SetRedirects{Device: "vx0", Ports: []kernel.FastPathPort{portOne, {Name: "gone", MAC: kernel.MAC{2, 5: 9}}}})
		leadsTo(t, c, portOne)
	}
	for range 2 {
		change(t, c, kernel.AddRedirect{Device: "vx0", Port: portTwo})
		leadsTo(t, c, portOne, portTwo)
	}
	t.Log(sh("tc filter show dev vx0 ingress"))
	for range 2 {
		change(t, c, kernel.DelRedirect{Device: "vx0", MAC: portOne.MAC})
		leadsTo(t, c, portTwo)
	}
	sh("tc qdisc del dev vx0 clsact")
	if _, intact, err := c.Redirects("vx0"); intact || err != nil {
		t.Errorf("intact: %v, %v", intact, err)
	}
	change(t, c, kernel.DelRedirect{Device: "vx0", MAC: portOne.MAC})
	change(t, c, kernel.DelRedirect{Device: "other", MAC: portOne.MAC})
	if err := c.Apply(kernel.SetRedirects{Device: "other"}); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// What happened to a port or a filter is seen.
func TestRedirectsThatLeadNowhere(t *testing.T) {
	for name, script := range map[string]string{
		"the port is gone":   "ip link del one",
		"it is another":      "ip link del one; ip link add one type veth peer name one-end; ip link set one master br0 up",
		"a filter is gone":   "tc filter del dev vx0 ingress protocol ip prio 60004 handle $(tc filter show dev vx0 ingress | sed -n 's/.*fh \\(7f4:1:[0-9a-f]*\\).*/\\1/p' | head -1) u32",
		"all of IPv6 is off": "tc filter del dev vx0 ingress protocol ipv6 prio 60006",
	} {
		t.Run(name, func(t *testing.T) {
			c, sh := redirected(t)
			change(t, c, kernel.SetRedirects{Device: "vx0", Ports: []kernel.FastPathPort{portOne}})
			sh(script)
			got, intact, err := c.Redirects("vx0")
			if err != nil || intact && slices.Contains(got, portOne) {
				t.Errorf("got %v, intact: %v, %v", got, intact, err)
			}
			if intact {
				// As it is found, it can be deleted and added.
				if !slices.Equal(got, []kernel.FastPathPort{{MAC: portOne.MAC}}) {
					t.Errorf("got %v", got)
				}
				change(t, c, kernel.DelRedirect{Device: "vx0", MAC: portOne.MAC})
				sh("ip link show one >/dev/null 2>&1 || { ip link add one type veth peer name one-end; ip link set one master br0 up; }")
				change(t, c, kernel.AddRedirect{Device: "vx0", Port: portOne})
				leadsTo(t, c, portOne)
			}
			change(t, c, kernel.SetRedirects{Device: "vx0", Ports: []kernel.FastPathPort{portTwo}})
			leadsTo(t, c, portTwo)
		})
	}
}

// No two containers of a network of 250,000 addresses meet in a slot, and no slot is beyond its table.
func TestSlots(t *testing.T) {
	seen := make(map[uint32]bool)
	for n := range 4 * 256 * 256 {
		for _, s := range slots(kernel.MAC{2, 0x36, 10, byte(n >> 16), byte(n >> 8), byte(n)}) {
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

// Filters that a user has on the device stay, and are no business of this project.
func TestRedirectsBesideOthersFilters(t *testing.T) {
	c, sh := redirected(t)
	sh(`tc qdisc del dev vx0 clsact; tc qdisc add dev vx0 clsact
		tc filter add dev vx0 ingress protocol ip handle 1: u32 divisor 1; tc filter add dev vx0 ingress protocol ip u32 match u32 0 0 link 1:
		tc filter add dev vx0 ingress protocol ip u32 ht 1: match ip src 192.0.2.1 action mirred egress mirror dev two
		tc filter add dev vx0 egress protocol ip u32 match ip src 192.0.2.1 action mirred egress mirror dev two`)
	if got, intact, err := c.Redirects("vx0"); len(got) > 0 || intact || err != nil {
		t.Errorf("got %v, intact: %v, %v", got, intact, err)
	}
	before := sh("tc filter show dev vx0 egress; tc filter show dev vx0 ingress | grep c0000201")
	for range 2 {
		change(t, c, kernel.SetRedirects{Device: "vx0", Ports: []kernel.FastPathPort{portOne}})
		leadsTo(t, c, portOne)
	}
	change(t, c, kernel.DelRedirect{Device: "vx0", MAC: portOne.MAC})
	leadsTo(t, c)
	if after := sh("tc filter show dev vx0 egress; tc filter show dev vx0 ingress | grep c0000201"); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func TestLocals(t *testing.T) {
	c, sh := redirected(t)
	sh("bridge fdb replace " + portTwo.MAC.String() + " dev two master dynamic")
	macs := []kernel.MAC{portOne.MAC, portTwo.MAC, {2, 5: 9}}
	if got, err := c.StickyEntries("br0", macs); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
	for _, p := range []kernel.FastPathPort{portOne, portTwo, portTwo} {
		change(t, c, kernel.AddSticky(p))
	}
	if got, err := c.StickyEntries("br0", macs); err != nil || !slices.Equal(got, []kernel.FastPathPort{portOne, portTwo}) {
		t.Errorf("got %v, %v", got, err)
	}
	sh("ip link set one nomaster; ip link set one master br0")
	if got, err := c.StickyEntries("br0", macs); err != nil || !slices.Equal(got, []kernel.FastPathPort{portTwo}) {
		t.Errorf("got %v, %v", got, err)
	}
}
