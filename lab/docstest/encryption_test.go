package docstest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// An encrypted network, typed as encryption.md has it, between hosts that take in nothing but what the pages
// open. Only the cluster's key is the test's, which other pages are about.
func TestEncryption(t *testing.T) {
	t.Parallel()
	l := startHosts(t)
	a, b := l.Host("host-a"), l.Host("host-b")
	for _, h := range l.Hosts() {
		// The page's hosts have one address each.
		labtest.Sh(t, h, "ip address del "+h.Addr4().String()+"/24 dev eth0; ip route replace default via 192.168.1.1")
		config := fmt.Sprintf("key_file = \"/etc/vxlan/key\"\nseeds = [\"192.168.1.10\"]\nebpf = %v\n",
			labtest.UsesPrograms())
		must(t, h.WriteFile("/etc/vxlan/vxland.toml", []byte(config), 0o600))
		must(t, h.WriteFile("/etc/vxlan/key", []byte("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"), 0o600))
	}
	closePorts(t, l)
	openPorts(t, l)
	var steps []block
	for _, block := range readPage(t, "encryption.md") {
		switch block.section {
		case "Ports":
			block.host = "On every host"
			typeBlock(t, l, block)
		case "Turn it on":
			steps = append(steps, block)
		}
	}
	// VXLAN's own port is not needed.
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "nft insert rule inet filter input iifname eth0 udp dport 4789 drop")
	}
	if len(steps) != 4 {
		t.Fatalf("encryption.md has %d steps, want 4: the network, a container on each host, and a look", len(steps))
	}
	for _, step := range steps[:3] {
		typeBlock(t, l, step)
	}
	// Another host knows a first container's name some 0.2 s after its start. Nobody types faster than that.
	labtest.Within(t, 2*time.Second, a, "podman exec secret-a nslookup secret-b.dns.podman")
	out := typeBlock(t, l, steps[3])
	if !strings.Contains(out, "3 packets received") || !strings.Contains(out, "host-b") {
		t.Errorf("want a ping that is answered, and host-b, in\n%s", out)
	}
	labtest.Page(t, b, "secret-b", "secret-a")
	if mtu := labtest.Sh(t, a, "podman exec secret-a cat /sys/class/net/eth0/mtu"); mtu != "1376" {
		t.Errorf("the MTU is %s", mtu)
	}
	if keys := labtest.Sh(t, a, "stat -c '%a %U' /run/vxlan/wireguard/*"); keys != "600 root" {
		t.Errorf("the keys are %s", keys)
	}
	labtest.Sh(t, a, "podman rm -f -t0 secret-a")
	labtest.Within(t, 10*time.Second, a, "test -z \"$(ls -A /run/vxlan/wireguard 2>/dev/null)\"")
}
