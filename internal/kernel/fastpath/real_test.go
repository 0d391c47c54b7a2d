package fastpath

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
	"vxlan-driver/internal/kernel/nft"
	"vxlan-driver/internal/kernel/rtnl"
)

// realHost is a namespace with the VXLAN device vx0 on the bridge br0, and the ports "one" and
// "two;x" of two containers.
type realHost struct {
	testing.TB
	Namespace
	sh func(script string) string
}

var (
	portOne = kernel.FastPathPort{Name: "one", MAC: kernel.MAC{2, 0x36, 10, 0, 0, 1}}
	portTwo = kernel.FastPathPort{Name: "two;x", MAC: kernel.MAC{2, 0x36, 10, 0, 1, 1}} // its filters are in the same bucket
	remote1 = kernel.MAC{2, 4: 1, 5: 1}
	remote2 = kernel.MAC{2, 4: 1, 5: 2}
	remote3 = kernel.MAC{2, 4: 1, 5: 3}
	both    = Members{[]kernel.MAC{remote1, remote2}, []kernel.FastPathPort{portOne, portTwo}}
)

const (
	addVXLAN   = "ip link add vx0 type vxlan id 7 dstport 4789 local 127.0.0.1; ip link set vx0 master br0 up"
	addPortOne = "ip link add one type veth peer name one-end; ip link set one master br0 up"
)

// newRealHost skips the test where the kernel lacks what a fast path takes.
func newRealHost(t testing.TB) realHost {
	t.Helper()
	ns := netnstest.New(t)
	links, err := rtnl.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(links.Close)
	firewall, err := nft.Open(ns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(firewall.Close)
	h := realHost{t, Namespace{links, func() (*nft.Conn, error) { return firewall, nil }}, netnstest.Shell(t, ns)}
	h.sh("ip link add br0 type bridge; ip link set br0 up; " + addVXLAN + "; " + addPortOne + `
		ip link add "two;x" type veth peer name two-end; ip link set "two;x" master br0 up; ip link set one-end up; ip link set two-end up`)
	netnstest.WaitForPorts(t, ns)
	for _, probe := range []fmt.Stringer{LoadTable{Device: "vx0"}, LoadFilters{Device: "vx0"}} {
		err := h.Apply(probe)
		if errors.Is(err, kernel.ErrNoFastPath) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h realHost) apply(changes ...fmt.Stringer) {
	h.Helper()
	for _, c := range changes {
		if err := h.Apply(c); err != nil {
			h.Fatal(err)
		}
	}
}

// hasTable wants the table to be intact and have these members, in any order.
func (h realHost) hasTable(want Members) {
	h.Helper()
	have, err := h.Outbound("vx0", Look{})
	if err != nil || !have.Intact || !sameMembers(have.Members, want) {
		h.Errorf("got %+v, %v; want %+v", have, err, want)
	}
}

func sameMembers(a, b Members) bool {
	for _, m := range []*Members{&a, &b} {
		m.Remote = slices.SortedFunc(slices.Values(m.Remote), func(x, y kernel.MAC) int { return strings.Compare(x.String(), y.String()) })
		m.Ports = sortedPorts(m.Ports)
	}
	return slices.Equal(a.Remote, b.Remote) && slices.Equal(a.Ports, b.Ports)
}

func sortedPorts(ports []kernel.FastPathPort) []kernel.FastPathPort {
	return slices.SortedFunc(slices.Values(ports), func(a, b kernel.FastPathPort) int { return strings.Compare(a.MAC.String(), b.MAC.String()) })
}

// hasFilters wants filters for these ports, in any order, and what they hang on.
func (h realHost) hasFilters(want ...kernel.FastPathPort) {
	h.Helper()
	have, err := h.Inbound("vx0")
	if err != nil || !have.Intact || !slices.Equal(sortedPorts(have.Ports), sortedPorts(want)) {
		h.Errorf("got %+v, %v; want %v", have, err, want)
	}
}
