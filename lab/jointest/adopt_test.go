package jointest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// createNetwork creates a network with gossip by hand.
func createNetwork(t *testing.T, h *lab.Host, name string, vni int, flags string) {
	t.Helper()
	labtest.Sh(t, h, fmt.Sprintf("podman network create --driver vxlan --opt discovery=gossip --opt local_ip=auto "+
		"--opt physical_interface=eth0 --opt vni=%d --subnet 10.%d.0.0/24 %s %s", vni, vni, flags, name))
}

// refusedWith types what must be refused, and wants the reasons.
func refusedWith(t *testing.T, h *lab.Host, command string, reasons ...string) {
	t.Helper()
	out := labtest.Refused(t, h, command)
	for _, want := range reasons {
		if !strings.Contains(out, want) {
			t.Errorf("%s says no %q:\n%s", command, want, out)
		}
	}
}

// A host gets networks, plain and encrypted, of hosts that have not set them up quite alike. What would
// split a network is refused.
func TestAdopt(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	for _, h := range l.Hosts() {
		refusedWith(t, h, "vxlanctl network adopt plain", "vxland does not run, so no other host can be asked",
			"vxlanctl join TOKEN")
	}
	hosts := cluster(t, l)
	a, b, c := hosts[0], hosts[1], hosts[2]
	createDiffering(t, a, b)
	labtest.Sh(t, c, "podman network create --subnet 10.240.0.0/24 local; vxlanctl wait host host-b")

	const list = "vxlanctl network ls --noheading --format '{{.Name}} {{.VNI}} {{.Port}} {{.Hosts}} {{.State}} " +
		"{{.Encryption}}' | sed 's/ $//'"
	want := "local 130 4789 1 not here\nplain 100 4789 2 not here\nsecret 101 4789 2 not here wireguard\n" +
		"torn 110 4789 2 not here\ntwice 120 4789 1 not here\ntwice 121 8472 1 not here"
	if got := labtest.Sh(t, c, list); got != want {
		t.Errorf("host c lists\n%s\nnot\n%s", got, want)
	}
	refuseToAdopt(t, c)
	adoptTwo(t, c, fmt.Sprintf("remote_ips=%v,%v", a.Addr4(), b.Addr4()))
	labtest.Sh(t, c, "vxlanctl network adopt twice --vni 121")
	const inspect = "podman network inspect twice -f '{{.Options.vni}} {{.Options.vxlan_port}}'"
	if got := labtest.Sh(t, c, inspect); got != "121 8472" {
		t.Errorf("of two networks host c has %s", got)
	}
	for _, network := range []string{"plain", "secret"} {
		runOn(t, c, network)
		for _, h := range hosts[:2] {
			pingByName(t, network, c, h)
			pingByName(t, network, h, c)
		}
	}
}

// createDiffering creates two networks that work, though one is not quite alike on both hosts, and three
// that a third host cannot have just so.
func createDiffering(t *testing.T, a, b *lab.Host) {
	t.Helper()
	labtest.Each(t, []*lab.Host{a, b}, func(h *lab.Host) {
		createNetwork(t, h, "plain", 100, map[*lab.Host]string{a: "--opt mtu=1400", b: "--opt mtu=1380"}[h])
		createNetwork(t, h, "secret", 101, "--opt encryption=wireguard --opt port_security=true")
		runOn(t, h, "plain")
		runOn(t, h, "secret")
	})
	createNetwork(t, a, "torn", 110, "")
	createNetwork(t, b, "torn", 110, "--opt encryption=wireguard")
	createNetwork(t, a, "twice", 120, "")
	createNetwork(t, b, "twice", 121, "--opt vxlan_port=8472")
	createNetwork(t, a, "local", 130, "")
}

// runOn runs a container that is named after the network and the host.
func runOn(t *testing.T, h *lab.Host, network string) {
	t.Helper()
	labtest.Sh(t, h, fmt.Sprintf("podman run -d --name %s-%s --network %[1]s localhost/web", network, h.Name()))
}

func pingByName(t *testing.T, network string, from, to *lab.Host) {
	t.Helper()
	labtest.Within(t, 10*time.Second, from, fmt.Sprintf("podman exec %s-%s ping -c1 -W1 %[1]s-%s", network,
		from.Name(), to.Name()))
}

// refuseToAdopt wants nothing to be created while something of it cannot be had.
func refuseToAdopt(t *testing.T, h *lab.Host) {
	t.Helper()
	refusedWith(t, h, "vxlanctl network adopt plain torn", "encryption: off on host-a; wireguard on host-b")
	refusedWith(t, h, "vxlanctl network adopt plain none",
		"network none: no other host that answers has it; they have: local, plain, secret, torn, twice")
	refusedWith(t, h, "vxlanctl network adopt twice",
		"VNI 120, port 4789, subnets 10.120.0.0/24 gateway 10.120.0.1 on host-a",
		"VNI 121, port 8472, subnets 10.121.0.0/24 gateway 10.121.0.1 on host-b",
		"vxlanctl network adopt --vni VNI twice")
	refusedWith(t, h, "vxlanctl network adopt local", "with the driver bridge", "OTHER-NAME")
	refusedWith(t, h, "vxlanctl network adopt plain --opt vni=7", "option vni must be the same on all hosts")
	labtest.Sh(t, h, "vxlanctl network adopt plain --dry-run")
	wantNone(t, h)
}

func wantNone(t *testing.T, h *lab.Host) {
	t.Helper()
	if got := labtest.Sh(t, h, "podman network ls -q --filter driver=vxlan"); got != "" {
		t.Errorf("%s has %s", h.Name(), got)
	}
}

// adoptTwo adopts the networks plain and secret, also after it was killed on the way, and more than once.
func adoptTwo(t *testing.T, h *lab.Host, seeds string) {
	t.Helper()
	for _, delay := range []string{"0.05", "0.1", "0.15", "0.2"} {
		labtest.Sh(t, h, "(timeout -s KILL "+delay+" vxlanctl network adopt plain secret) || true; "+
			"vxlanctl network adopt plain secret; vxlanctl network rm plain secret")
		wantNone(t, h)
	}
	dry := labtest.Sh(t, h, "vxlanctl network adopt plain --dry-run")
	said := labtest.Sh(t, h, "vxlanctl network adopt plain secret")
	for _, want := range []string{
		"hosts of network plain differ in mtu: 1400 on host-a; 1380 on host-b; 1400 is taken here", dry, seeds,
		"--opt encryption=wireguard", "--opt port_security=true",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("adopt says no %q:\n%s", want, said)
		}
	}
	if again := labtest.Sh(t, h, "vxlanctl network adopt plain secret -q"); again != "" {
		t.Errorf("created once more: %s", again)
	}
}
