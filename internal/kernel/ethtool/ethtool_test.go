package ethtool

import (
	"errors"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
)

// What is set is read, of the one link, and the kernel's own choice is on.
func TestTXChecksum(t *testing.T) {
	path := netnstest.New(t)
	netnstest.Shell(t, path)("ip link add vx7 type vxlan id 7 dstport 4789 local 127.0.0.1; ip link add vx8 type vxlan id 8 dstport 4789 local 127.0.0.1")
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	check := func(link string, want bool) {
		t.Helper()
		if got, err := c.TXChecksum(link); got != want || err != nil {
			t.Errorf("%s: %t, %v, want %t", link, got, err, want)
		}
	}
	check("vx7", true)
	for _, on := range []bool{false, false, true} {
		if err := c.SetTXChecksum(kernel.SetTXChecksum{Name: "vx7", On: on}); err != nil {
			t.Fatal(err)
		}
		check("vx7", on)
		check("vx8", true)
	}
	if _, err := c.TXChecksum("none"); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if err := c.SetTXChecksum(kernel.SetTXChecksum{Name: "none"}); !errors.Is(err, kernel.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
