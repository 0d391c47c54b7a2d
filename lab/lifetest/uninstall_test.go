package lifetest

import (
	"os/exec"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// installOn puts what `make install` makes on a host, with the script that installs.
func installOn(t *testing.T, h *lab.Host) {
	t.Helper()
	labtest.Sh(t, h, "rm -f /usr/local/bin/vxland /usr/local/bin/vxlanctl "+pluginPath+"; mkdir -p /src")
	for _, name := range []string{"vxlan", "vxland", "vxlanctl"} {
		labtest.Binary(t, name)
	}
	copyTree := exec.Command("sh", "-c",
		`tar -C ../.. -c packaging docs/user SECURITY.md bin/vxlan bin/vxland bin/vxlanctl | tar -C "$0" -x`, h.Path("/src"))
	if out, err := copyTree.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	labtest.Sh(t, h, "/src/packaging/install.sh install")
}

// Uninstalling is refused while containers use a network. Afterwards nothing is left of the driver,
// not even what it lost track of.
func TestUninstallLeavesNothing(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 1})
	a := l.Host("host-a")
	labtest.Sh(t, a, "ip netns add first && ip netns del first; rm -f /usr/local/bin/vxland "+pluginPath+"; rmdir /usr/local/libexec/netavark")
	labtest.Sh(t, a, labtest.MountBPF)
	before := labtest.Snapshot(t, a)
	files := "find /usr/local /etc/systemd /etc/vxlan /var/lib/vxlan 2>/dev/null | sort"
	filesBefore := labtest.Sh(t, a, files)
	installOn(t, a)
	labtest.Sh(t, a, createNet)
	labtest.Sh(t, a, "podman run -d --name c1 -p 8080:80 --network net localhost/web; systemctl --root=/ enable vxlan-reload@nftables")
	labtest.Sh(t, a, "/src/packaging/install.sh install; pgrep -x vxland") // over programs that run

	out := labtest.Refused(t, a, "/src/packaging/install.sh uninstall")
	for _, want := range []string{"network net is used by container c1", "podman network disconnect", "nothing was removed"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %s", want, out)
		}
	}
	labtest.Sh(t, a, "podman exec c1 nslookup c1.dns.podman; curl -sS --max-time 2 http://198.18.0.11:8080/")

	labtest.Sh(t, a, "podman rm -f -t0 c1; ip link add old type vxlan id 7 dev eth0 dstport 4789; ip link set old alias 'vxlan-driver network 0123456789abcdef old' up")
	labtest.Sh(t, a, labtest.PinLeftover)
	out = labtest.Sh(t, a, "exec 2>&1; /src/packaging/install.sh uninstall")
	if want := "Podman still has these VXLAN networks: net"; !strings.Contains(out, want) {
		t.Errorf("no %q in %s", want, out)
	}
	labtest.Sh(t, a, "podman network rm net; ! pgrep ^vxland; test ! -e /run/vxlan; "+labtest.NothingPinned)
	if left := labtest.Changes(filesBefore+"\n", labtest.Sh(t, a, files)+"\n"); left != "" {
		t.Errorf("files are left:\n%s", left)
	}
	for line := range strings.Lines(labtest.Changes(before, labtest.Snapshot(t, a))) {
		// Podman's own files stay, and what other networks may need by now.
		isPodmans := strings.Contains(line, "/run/containers") || strings.Contains(line, "/etc/containers") || strings.Contains(line, "/run/libpod") ||
			strings.Contains(line, "netavark.lock") || strings.Contains(line, "/var/lib/containers")
		if !isPodmans && !strings.Contains(line, "kernel parameters") && !strings.Contains(line, "anycast") {
			t.Errorf("left: %s", line)
		}
	}
}

// With force, containers are cut off, and go on without the network.
func TestForcedUninstall(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 1})
	a := l.Host("host-a")
	installOn(t, a)
	labtest.Sh(t, a, createNet)
	labtest.Sh(t, a, "podman run -d --name c1 -p 8080:80 --network net localhost/web")
	labtest.Sh(t, a, "FORCE=1 /src/packaging/install.sh uninstall; ! pgrep ^vxland; test ! -e /run/vxlan; ! nft list tables | grep vxlan; ! ip link show br-vxlan-net; podman exec c1 true")
	labtest.Sh(t, a, "ip -br link | grep -v -e '^lo ' -e ^eth0@ && exit 1; podman rm -f -t0 c1 || podman rm -f -t0 c1")
}
