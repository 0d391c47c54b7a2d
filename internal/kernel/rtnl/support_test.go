package rtnl

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/kernel/netnstest"
)

// The kernel's own text says neither which kind nor what to do.
func TestNewLinkOfUnknownKind(t *testing.T) {
	c, err := Open(netnstest.New(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	err = c.newLink(kernel.Link{Name: "x", Kind: "nokind"})
	if !errors.Is(err, kernel.ErrNotSupported) || !strings.Contains(err.Error(), "has no nokind devices; ") {
		t.Errorf("got %v", err)
	}
}

func TestSupportHint(t *testing.T) {
	dir := t.TempDir()
	for release, modules := range map[string]string{
		"6.1-here":  "kernel/drivers/net/vxlan/vxlan.ko.zst: kernel/net/ipv6/ip6_udp_tunnel.ko.zst\n",
		"6.1-raspi": "kernel/drivers/net/veth.ko:\n",
	} {
		if err := os.MkdirAll(filepath.Join(dir, release), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, release, "modules.dep"), []byte(modules), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for release, want := range map[string]string{
		"6.1-gone":  "reboot",
		"6.1-here":  "`modprobe vxlan` says why",
		"6.1-raspi": "linux-modules-extra-6.1-raspi",
	} {
		if got := supportHint(dir, release, kernel.KindVXLAN); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", release, got, want)
		}
	}
}
