package membership

import (
	"net/netip"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

// After hosts could not hear each other, two containers may have one address.
func TestDuplicates(t *testing.T) {
	n := staticNetwork() // has web at 10.0.0.2
	h := otherHost(2, withEndpoints(
		cluster.Endpoint{ContainerID: "c1", Names: []string{"db"}, MAC: kernel.MAC{2, 1}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
		cluster.Endpoint{ContainerID: "c2", Names: []string{"ok"}, MAC: kernel.MAC{2, 2}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.3")}},
	))
	got := Duplicates(n, snapshot(h))
	if want := "address 10.0.0.2 of network blue is that of container web here and of container db on host c; restart one of them"; len(got) != 1 || got[0] != want {
		t.Errorf("got %q", got)
	}
	unreachable(&h)
	if got := Duplicates(n, snapshot(h)); len(got) > 0 {
		t.Errorf("of an unreachable host: %q", got)
	}
}
