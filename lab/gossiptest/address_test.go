package gossiptest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// Twenty containers start on each of three hosts at once. All get different addresses, and reach
// each other.
func testSixtyContainersGetDifferentAddresses(t *testing.T, p labtest.Plane) {
	const each = 20
	l := p.Start(t, lab.Config{Hosts: 3})
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=100 --subnet 10.0.0.0/24")
	began := time.Now()
	var running sync.WaitGroup
	for i, h := range l.Hosts() {
		running.Go(func() {
			// Four at a time, as a service manager does it.
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
	// One container of each host pings all, and each pings as many as there are hosts. All pairs
	// would need 7,200 ARP entries, and the kernel has room for 1,024 (gc_thresh3) in all
	// namespaces together.
	var all []string
	of := make(map[string]string) // by name
	for addr, name := range at {
		all, of[name] = append(all, addr), addr
	}
	for i, h := range l.Hosts() {
		labtest.Within(t, 2*time.Second, h, pingEach(fmt.Sprintf("c%d-1", i), all))
		for j := 2; j <= each; j++ {
			var some []string
			for k := range l.Hosts() {
				some = append(some, of[fmt.Sprintf("c%d-%d", k, j)])
			}
			labtest.Sh(t, h, pingEach(fmt.Sprintf("c%d-%d", i, j), some))
		}
	}
}

// pingEach is a script that succeeds if the container reaches all addresses.
func pingEach(container string, to []string) string {
	return fmt.Sprintf("podman exec %s sh -c 'for a in %s; do ping -c1 -W1 $a >/dev/null || { echo $a; exit 1; }; done'", container, strings.Join(to, " "))
}

// A container is refused in a subnet that is full. Addresses of an unreachable host stay reserved,
// and those of a host that has left are free.
func testFullSubnetIsReported(t *testing.T, p labtest.Plane) {
	t.Parallel()
	l := p.Start(t, lab.Config{Hosts: 3})
	hosts := l.Hosts()
	p.CreateOn(t, hosts, "net", "--opt vni=100 --subnet 10.0.0.0/29")
	// Five usable addresses, one of which is each host's own.
	runContainer(t, hosts[0], "c0", "net", "")
	runContainer(t, hosts[1], "c1", "net", "")
	labtest.Within(t, 2*time.Second, hosts[0], pingScript("c0", "c1"))
	own := "ip -4 -o address show dev br-vxlan-net | grep -qv 'inet 10.0.0.1/'"
	labtest.Within(t, 2*time.Second, hosts[0], own)
	labtest.Within(t, 2*time.Second, hosts[1], own)
	runContainer(t, hosts[1], "c2", "net", "")
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
	labtest.Within(t, 20*time.Second, hosts[0], "vxlanctl status | grep unreachable")
	if out := labtest.Refused(t, hosts[0], full); !strings.Contains(out, want) {
		t.Errorf("podman says %s", out)
	}
	if _, err := l.UnderlayIP(t.Context(), "link", "set", hosts[1].Name(), "up"); err != nil {
		t.Fatal(err)
	}
	labtest.Within(t, 20*time.Second, hosts[0], "! vxlanctl status | grep unreachable")
	labtest.Sh(t, hosts[1], "podman rm -f -t0 c2")
	labtest.Within(t, 2*time.Second, hosts[0], full)
}

// Hosts that cannot reach each other assign different addresses. One that users asked for on both
// sides is reported as soon as the hosts reach each other again. All hosts then lead to the same
// container, also the other one's host, and a third one.
func TestDuplicateAddressesOfPartitionAreReported(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	hosts := l.Hosts()
	for i, h := range hosts {
		createNetwork(t, h, "net", "--opt vni=100 --subnet 10.0.0.0/16")
		runContainer(t, h, fmt.Sprint("c", i), "net", "")
	}
	labtest.Within(t, 2*time.Second, hosts[0], pingScript("c0", "c2"))
	cable := func(state string) {
		if _, err := l.UnderlayIP(t.Context(), "link", "set", hosts[2].Name(), state); err != nil {
			t.Fatal(err)
		}
	}
	cable("down")
	labtest.Within(t, 20*time.Second, hosts[0], "vxlanctl status | grep unreachable")
	labtest.Within(t, 20*time.Second, hosts[2], "vxlanctl status | grep unreachable")
	at := make(map[string]bool)
	for i, h := range []int{0, 2} {
		for j := range 3 {
			at[runContainer(t, hosts[h], fmt.Sprintf("alone%d-%d", i, j), "net", "")] = true
		}
	}
	if len(at) != 6 {
		t.Errorf("both sides gave out some of %v", at)
	}
	runContainer(t, hosts[0], "twice0", "net", "--ip 10.0.77.7")
	runContainer(t, hosts[2], "twice2", "net", "--ip 10.0.77.7")
	for i, container := range map[int]string{0: "twice0", 2: "twice2"} {
		labtest.Sh(t, hosts[i], fmt.Sprintf("podman exec %s sh -c 'echo %s >/www/who'", container, container))
	}
	cable("up")
	conflict := "vxlanctl status | grep 'VX0601 failure: address 10.0.77.7 of network net is that of container twice%d here and of container twice%d on host'"
	t.Log("told after", labtest.Within(t, 20*time.Second, hosts[0], fmt.Sprintf(conflict, 0, 2)))
	labtest.Within(t, 5*time.Second, hosts[2], fmt.Sprintf(conflict, 2, 0))
	labtest.Sh(t, hosts[0], "vxlanctl status | grep 'what to do on host-c.*: podman network disconnect net twice2'")
	labtest.Sh(t, hosts[2], "vxlanctl status | grep 'what to do: podman network disconnect net twice2'")
	// What the loser sends leads nobody astray.
	labtest.Sh(t, hosts[2], "podman exec twice2 ping -c2 -W1 "+labtest.Address(t, hosts[2], "c2", "net")+" || true")
	for i, h := range hosts {
		labtest.Within(t, 5*time.Second, h, fmt.Sprintf("podman exec c%d nslookup -type=a twice0.dns.podman | grep 10.0.77.7", i))
		labtest.Refused(t, h, fmt.Sprintf("podman exec c%d nslookup -type=a twice2.dns.podman | grep 10.0.77.7", i))
		labtest.Within(t, 5*time.Second, h, fmt.Sprintf("podman exec c%d wget -T2 -qO- http://10.0.77.7/who | grep twice0", i))
	}
	labtest.Sh(t, hosts[2], "podman rm -f -t0 twice2; podman run -d --name other --network net localhost/web")
	labtest.Within(t, 2*time.Second, hosts[0], "! vxlanctl status | grep VX0601")
	labtest.Within(t, 2*time.Second, hosts[2], pingScript("c2", "10.0.77.7"))
	if n := labtest.Sh(t, hosts[0], "grep -c 'two containers have one address' /run/vxlan/vxland.log"); n != "1" {
		t.Errorf("logged %s times", n)
	}
}
