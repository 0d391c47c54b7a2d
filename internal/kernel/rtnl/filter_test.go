package rtnl

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
)

// The kernel must do the filtering of dumps, or each call costs a message for everything on the
// host. It says nothing when it ignores a filter, and since the replies are checked again here no
// other test would notice.
func TestKernelFilters(t *testing.T) {
	c, err := Open(netnstest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	apply := func(changes ...kernel.Change) {
		t.Helper()
		for _, ch := range changes {
			if err := c.Apply(ch); err != nil {
				t.Fatal(err)
			}
		}
	}
	local := netip.MustParseAddr("198.18.0.1")
	for i := range 10 {
		br, vx := fmt.Sprintf("br%d", i), fmt.Sprintf("vx%d", i)
		tunnel := kernel.Tunnel{VNI: uint32(i + 1), Port: 4789, Dev: "lo", Local: local}
		apply(kernel.CreateLink{Link: kernel.Link{Name: br, Kind: kernel.KindBridge}},
			kernel.AddAddr{Name: br, Addr: kernel.Addr{Prefix: netip.PrefixFrom(local, 24+i%8)}},
			kernel.CreateLink{Link: kernel.Link{Name: vx, Kind: kernel.KindVXLAN, Tunnel: tunnel}},
			kernel.SetMaster{Name: vx, Master: br},
			kernel.AddFDB{Name: vx, FDB: kernel.FDB{MAC: kernel.MAC{2}, Dst: local.Next()}})
	}
	index := func(name string) uint32 {
		n, err := c.indexOf(name)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	br, vx := index("br5"), index("vx5")
	count := func(what string, want int) func([][]byte, error) {
		return func(msgs [][]byte, err error) {
			t.Helper()
			if err != nil || len(msgs) != want {
				t.Errorf("%s: %d messages, not %d; %v", what, len(msgs), want, err)
			}
		}
	}
	count("ports", 1)(c.withMaster(br))
	count("links without a master", 11)(c.withMaster(withoutMaster)) // the bridges, and lo
	count("tunnels", 10)(c.tunnelMessages())
	count("addresses", 1)(c.Dump(unix.RTM_GETADDR, addrMessage(unix.AF_UNSPEC, 0, 0, br)))
	// The entry of the bridge for its port comes along with that of the device.
	msgs, err := c.Dump(unix.RTM_GETNEIGH, neighbourMessage(unix.AF_BRIDGE, vx, 0, 0))
	if err != nil || len(msgs) > 3 {
		t.Errorf("FDB: %d messages; %v", len(msgs), err)
	}
}
