package gossiptest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// Twenty containers start on each of three hosts at once. All get different addresses, and reach each other.
func TestSixtyContainersAtOnce(t *testing.T) {
	const each = 20
	l := start(t, 3)
	for _, h := range l.Hosts() {
		create(t, h, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	}
	began := time.Now()
	var running sync.WaitGroup
	for i, h := range l.Hosts() {
		running.Go(func() {
			// Four at a time, as a service manager does.
			out, err := h.Sh(t.Context(), fmt.Sprintf("exec 2>&1; seq %d | xargs -P4 -I{} podman run -d --name c%d-{} --network net localhost/web", each, i))
			if err != nil || strings.Contains(out, "vxlan:") {
				t.Errorf("%s: %v: %s", h.Name(), err, out)
			}
		})
	}
	running.Wait()
	t.Logf("%d containers started in %v", 3*each, time.Since(began))
	at := make(map[string]string)
	for _, h := range l.Hosts() {
		for line := range strings.Lines(labtest.Sh(t, h, "podman inspect -f '{{.Name}} {{.NetworkSettings.Networks.net.IPAddress}}' $(podman ps -q)")) {
			name, addr, _ := strings.Cut(strings.TrimSpace(line), " ")
			if other, taken := at[addr]; taken {
				t.Errorf("%s and %s have %s", name, other, addr)
			}
			at[addr] = name
		}
	}
	if len(at) != 3*each {
		t.Fatalf("%d addresses: %v", len(at), at)
	}
	var all []string
	for addr := range at {
		all = append(all, addr)
	}
	for i, h := range l.Hosts() {
		// From the outside only one process a container.
		within(t, 2*time.Second, h, fmt.Sprintf("podman exec c%d-1 sh -c 'for a in %s; do ping -c1 -W1 $a >/dev/null || { echo $a; exit 1; }; done'", i, strings.Join(all, " ")))
		labtest.Sh(t, h, fmt.Sprintf("for i in $(seq %d); do podman exec c%d-$i sh -c 'for a in %s; do ping -c1 -W1 $a >/dev/null || { echo $a; exit 1; }; done' || { echo from c%d-$i; exit 1; }; done", each, i, strings.Join(all, " "), i))
	}
}

// In a subnet that is full a container is refused; what a host that does not answer has stays its own, and what one has that
// has left is free.
func TestAFullSubnet(t *testing.T) {
	l := start(t, 3)
	hosts := l.Hosts()
	for _, h := range hosts {
		create(t, h, "net", "--opt vni=100 --subnet 10.0.0.0/29")
	}
	// Five usable addresses, one of which is each host's own.
	run(t, hosts[0], "c0", "net", "")
	run(t, hosts[1], "c1", "net", "")
	within(t, 2*time.Second, hosts[0], ping("c0", "c1"))
	own := "ip -4 -o address show dev br-vxlan-net | grep -qv 'inet 10.0.0.1/'"
	within(t, 2*time.Second, hosts[0], own)
	within(t, 2*time.Second, hosts[1], own)
	run(t, hosts[1], "c2", "net", "")
	const full = "podman run --rm --network net localhost/busybox true"
	want := "no free address in 10.0.0.0/29: all 5 in use"
	if out := labtest.Refused(t, hosts[0], full); !strings.Contains(out, want) {
		t.Errorf("podman says %s", out)
	}
	if out := labtest.Refused(t, hosts[2], full); !strings.Contains(out, want) {
		t.Errorf("podman says %s", out)
	}
	if _, err := l.UnderlayIP(t.Context(), "link", "set", hosts[1].Name(), "down"); err != nil {
		t.Fatal(err)
	}
	within(t, 20*time.Second, hosts[0], "vxlanctl status | grep unreachable")
	if out := labtest.Refused(t, hosts[0], full); !strings.Contains(out, want) {
		t.Errorf("podman says %s", out)
	}
	if _, err := l.UnderlayIP(t.Context(), "link", "set", hosts[1].Name(), "up"); err != nil {
		t.Fatal(err)
	}
	within(t, 20*time.Second, hosts[0], "! vxlanctl status | grep unreachable")
	labtest.Sh(t, hosts[1], "podman rm -f -t0 c2")
	within(t, 2*time.Second, hosts[0], full)
}
