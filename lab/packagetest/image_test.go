package packagetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// putExample puts an example on a host.
func putExample(t *testing.T, h *lab.Host, name string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../examples/image", name))
	if err == nil {
		err = h.WriteFile("/root/"+name, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The examples for hosts whose system is an image. IMAGES=1 is set by make test-packages.
func TestImages(t *testing.T) {
	if os.Getenv("IMAGES") == "" {
		t.Skip("builds images, which takes half a minute: make test-packages")
	}
	l := labtest.Start(t, lab.Config{Hosts: 2})
	a, b := startNode(t, l.Host("host-a")), startNode(t, l.Host("host-b"))
	deb := makeDeb(t, a.host, "v1.0.0")
	t.Run("Containerfile", func(t *testing.T) { buildImage(node{t, a.host}, deb) })
	t.Run("sysext", func(t *testing.T) { mergeExtension(node{t, a.host}, deb) })
	t.Run("Butane", func(t *testing.T) { applyButane(node{t, b.host}, a.host.Path(deb)) })
}

// buildImage: the package is installed while an image is built. Its scripts then change nothing on
// the host that builds it.
func buildImage(n node, deb string) {
	putExample(n.T, n.host, "Containerfile")
	// Of the host's own system, as no other image that has Podman is here.
	n.mustRun(`tar -C / --one-file-system --exclude=./root --exclude=./usr/share/doc --exclude=./usr/share/locale -c . | podman import -q - localhost/base
		mkdir /root/packages && cp ` + deb + ` /root/packages`)
	const state = "nft list tables; ip -br link; ls -d /run/vxlan 2>/dev/null || true"
	before := n.mustRun(state)
	// Podman raises limits by default, which it may not where the tests run.
	n.mustRun("podman build --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --build-arg BASE=localhost/base -f /root/Containerfile -t built /root/packages")
	if after := n.mustRun(state); after != before {
		n.Errorf("before\n%s\nafter\n%s", before, after)
	}
	out := n.mustRun("podman run --rm --network none built sh -c 'vxlanctl --version; dpkg --verify vxlan-driver; ls /etc/systemd/system/nftables.service.wants /packages || true'")
	wantParts(n.T, out, "vxlanctl v1.0.0", "vxlan-reload@nftables.service")
	if strings.Contains(out, ".deb") {
		n.Errorf("the package's file is in the image: %s", out)
	}
}

// mergeExtension: as a system extension the driver works on a host whose /usr is read-only.
func mergeExtension(n node, deb string) {
	putExample(n.T, n.host, "sysext.sh")
	n.mustRun("mount --make-rshared /") // systemd does so, except in a container
	n.mustRun("mkdir -p /var/lib/extensions && /root/sysext.sh " + deb + " /var/lib/extensions/vxlan-driver && systemd-sysext merge")
	n.mustRun("! touch /usr/x 2>/dev/null; systemd-tmpfiles --create vxlan-driver.conf; test $(stat -c %a /etc/vxlan) = 700")
	n.mustRun("podman network create --driver vxlan --opt local_ip=auto --opt remote_ips=198.18.0.99 --opt physical_interface=auto --opt vni=100 --subnet 10.0.0.0/24 net")
	n.mustRun("podman run -d --name web --network net localhost/web && podman run -d --name other --network net localhost/web")
	n.succeedsWithin(3*time.Second, "podman exec other ping -c1 -W1 web")
	n.mustRun("systemctl is-active vxland.service; systemctl restart nftables")
	n.succeedsWithin(2*time.Second, "systemctl is-active vxlan-reload@nftables && nft list table inet vxlan-driver >/dev/null")
}
