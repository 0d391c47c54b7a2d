package packagetest

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// A host goes from `make install` to the package, by what the page says, while its containers talk.
// What the administrator wrote stays, and so do the host's ID and the package's own files.
func TestFromSourceToPackage(t *testing.T) {
	if os.Getenv("IMAGES") == "" {
		t.Skip("is one of the long tests of packages: make test-packages")
	}
	stage := t.TempDir()
	makeIn := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("make", append([]string{"-C", "../.."}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("make %v: %v\n%s", args, err, out)
		}
	}
	makeIn("install", "DESTDIR="+stage)
	l := labtest.Start(t, lab.Config{Hosts: 2})
	n, b := startNode(t, l.Host("host-a")), l.Host("host-b")
	if out, err := exec.Command("cp", "-a", stage+"/.", n.host.Path("/")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n.mustRun("systemctl daemon-reload; systemctl enable vxlan-reload@nftables")
	create := "podman network create --opt remote_ips=" + labtest.VTEPs(l) + " " + netFlags
	labtest.Sh(t, b, create+"; podman run -d --name cb --network net localhost/web")
	n.mustRun(create + "; podman run -d --name ca --network net localhost/web")
	n.succeedsWithin(3*time.Second, "podman exec ca ping -c1 -W1 cb && vxlanctl --version >/tmp/source")
	id := n.mustRun("cat /var/lib/vxlan/host-id")

	wantParts(t, n.mustRun("dpkg -i "+makeDeb(t, n.host, "v1.0.1")), "programs below /usr/local", "make uninstall DESTDIR=/")
	n.mustRun("vxlanctl --version | diff /tmp/source -")
	makeIn("uninstall", "DESTDIR="+n.host.Path("/"))
	n.mustRun("systemctl daemon-reload; systemctl restart vxland.service; podman exec ca ping -c1 -W1 " + labtest.Sh(t, b, "podman exec cb hostname -i"))
	n.succeedsWithin(3*time.Second, "podman exec ca ping -c1 -W1 cb && vxlanctl status >/tmp/status && ! grep VX070 /tmp/status")
	n.mustRun("test -z \"$(find /usr/local -name '*vxla*')\"; dpkg --verify vxlan-driver; vxlanctl --version | grep 'v1.0.1$'; readlink /proc/$(pgrep -x vxland)/exe | grep ^/usr/libexec/")
	if now := n.mustRun("cat /var/lib/vxlan/host-id"); now != id {
		t.Errorf("the host's ID was %s, and is %s", id, now)
	}
	n.mustRun("systemctl restart nftables")
	n.succeedsWithin(2*time.Second, "systemctl is-active vxlan-reload@nftables && nft list table inet vxlan-driver >/dev/null")
}
