package lifetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// The installed unit is one that systemd accepts, enabled for the services that set up packet
// filters.
//
// No systemd runs in a lab host: it checks and enables units offline. What it does with them is its
// own business.
func TestReloadUnitForFirewalldAndNftables(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 1})
	a := l.Host("host-a")
	stage := t.TempDir()
	makefile := exec.Command("make", "-C", "../..", "install", "DESTDIR="+stage, "PREFIX=/usr")
	if out, err := makefile.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	unit, err := os.ReadFile(filepath.Join(stage, "usr/lib/systemd/system/vxlan-reload@.service"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(unit), "ExecStart=/usr/bin/vxlanctl reload\n") {
		t.Errorf("the unit does not know PREFIX:\n%s", unit)
	}
	if err := a.WriteFile("/usr/lib/systemd/system/vxlan-reload@.service", unit, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := a.WriteFile("/usr/bin/vxlanctl", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"firewalld", "nftables"} {
		labtest.Sh(t, a, "systemd-analyze verify --man=no vxlan-reload@"+service+".service")
		labtest.Sh(t, a, "systemctl --root=/ enable vxlan-reload@"+service)
		labtest.Sh(t, a, "test -L /etc/systemd/system/"+service+".service.wants/vxlan-reload@"+service+".service")
	}
}
