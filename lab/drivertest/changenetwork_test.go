package drivertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// inContainer starts a script in a container of the host, and returns where its output comes.
func inContainer(t *testing.T, h *lab.Host, container, script string) <-chan string {
	t.Helper()
	done := make(chan string, 1)
	go func() {
		out, err := h.Sh(t.Context(), fmt.Sprintf("podman exec %s sh -c '%s'", container, script))
		if err != nil {
			out += " " + err.Error()
		}
		done <- out
	}()
	return done
}

// A network's MTU and list of hosts are changed while its containers run: pings and a TCP stream go
// on, and Podman shows the change. What is wrong changes nothing. A network in use is not removed.
func TestNetworkIsChangedWhileContainersRun(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	hosts := l.Hosts()
	a, b := hosts[0], hosts[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --opt max_hosts=4 --subnet 10.0.0.0/24")
	for i, h := range hosts {
		labtest.Sh(t, h, fmt.Sprintf("podman run -d --name c%d --network net localhost/web 2>/dev/null", i))
	}
	target := labtest.Address(t, b, "c1", "net")
	labtest.Within(t, 5*time.Second, a, "podman exec c0 ping -c1 -W1 "+target)
	pids := labtest.Sh(t, a, "podman inspect c0 --format '{{.State.Pid}}'") + labtest.Sh(t, b, "podman inspect c1 --format '{{.State.Pid}}'")

	labtest.Sh(t, b, "podman exec -d c1 sh -c 'sleep 60 | nc -l -p 9000 >/tmp/got'")
	pings := inContainer(t, a, "c0", "for i in $(seq 60); do ping -c1 -W2 "+target+" >/dev/null || echo lost $i; sleep 0.1; done; echo pinged")
	stream := inContainer(t, a, "c0", "sleep 0.3; (for i in $(seq 60); do echo line $i; sleep 0.1; done) | nc "+target+" 9000; echo sent")

	for _, refused := range []string{"mtu=1460", "vni=101", "mtu=1400 vni=101", "mtus=1400"} {
		before := labtest.Sh(t, a, "md5sum /etc/containers/networks/net.json /run/vxlan/networks/*/network.json")
		labtest.Refused(t, a, "vxlanctl network set net "+refused)
		if after := labtest.Sh(t, a, "md5sum /etc/containers/networks/net.json /run/vxlan/networks/*/network.json"); after != before {
			t.Errorf("%s was refused, and changed\n%s\nto\n%s", refused, before, after)
		}
	}
	for _, h := range hosts {
		if out := labtest.Sh(t, h, "vxlanctl network set net mtu=1400"); !strings.Contains(out, "mtu is 1400 now") {
			t.Errorf("set says %s", out)
		}
	}
	for i, h := range hosts {
		labtest.Within(t, 2*time.Second, h, fmt.Sprintf("test $(podman exec c%d cat /sys/class/net/eth0/mtu) = 1400 && test $(cat /sys/class/net/vxlan-net/mtu) = 1400", i))
		labtest.Sh(t, h, `test "$(podman network inspect net --format '{{.Options.mtu}}')" = 1400`)
		labtest.Sh(t, h, "vxlanctl network inspect net | grep -q 'MTU 1400'")
	}
	third := "198.18.0.99"
	const members = "nft list set inet vxlan-driver members4"
	labtest.Sh(t, a, "vxlanctl network peer add net "+third+" && "+members+" | grep -q "+third+" && podman network inspect net | grep -q "+third)
	labtest.Sh(t, a, "vxlanctl network peer remove net "+third+" && ! "+members+" | grep -q "+third)
	if out := labtest.Refused(t, a, "vxlanctl network peer add net 198.18.0.9"); !strings.Contains(out, "would move the part of 10.0.0.0/24") {
		t.Errorf("a host that moves others: %s", out)
	}
	if out := <-pings; out != "pinged" {
		t.Errorf("pings: %s", out)
	}
	if out := <-stream; out != "sent" {
		t.Errorf("the sender of the stream: %s", out)
	}
	labtest.Within(t, 5*time.Second, b, "test $(podman exec c1 grep -c line /tmp/got) = 60")
	if now := labtest.Sh(t, a, "podman inspect c0 --format '{{.State.Pid}}'") + labtest.Sh(t, b, "podman inspect c1 --format '{{.State.Pid}}'"); now != pids {
		t.Errorf("processes were %s, and are %s", pids, now)
	}
	labtest.Sh(t, a, "podman run --rm --network net localhost/web cat /sys/class/net/eth0/mtu 2>/dev/null | grep -qx 1400")

	// What else can change holds at once, in both directions.
	const fastPath = "nft list table netdev vxlan-driver-vxlan-net 2>/dev/null | grep -q 'chain port'"
	labtest.Within(t, 15*time.Second, a, fastPath)
	labtest.Sh(t, a, "vxlanctl network set net fast_path=false")
	labtest.Within(t, 5*time.Second, a, "! "+fastPath)
	labtest.Sh(t, a, "vxlanctl network set net fast_path=")
	labtest.Within(t, 5*time.Second, a, fastPath)
	labtest.CreateNetwork(t, l, "other", "--opt vni=101 --opt isolate=true --subnet 10.1.0.0/24")
	labtest.Sh(t, a, "podman run -d --name other --network other localhost/web 2>/dev/null")
	crosses := "podman exec other ping -c1 -W1 " + labtest.Address(t, a, "c0", "net")
	for _, isolate := range []string{"false", "true", "false"} {
		labtest.Sh(t, a, "vxlanctl network set net isolate="+isolate)
		if isolate == "true" {
			labtest.Refused(t, a, crosses)
		} else {
			labtest.Within(t, 2*time.Second, a, crosses)
		}
	}

	labtest.Sh(t, a, "podman stop -t0 c0")
	if out := labtest.Refused(t, a, "vxlanctl network rm net"); !strings.Contains(out, "it is used by container c0") {
		t.Errorf("rm of a network in use: %s", out)
	}
	labtest.Sh(t, a, "podman rm -f -t0 c0; vxlanctl network rm net && ! podman network exists net && ! ip link show vxlan-net 2>/dev/null")
}
