package gossiptest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// A third host joins with one command, and nothing is changed on the first two.
func testThirdHostJoinsWithOneCommand(t *testing.T, p labtest.Plane) {
	l := p.Start(t, lab.Config{Hosts: 3})
	hosts := l.Hosts()
	p.CreateOn(t, hosts[:2], "net", "--opt vni=100 --subnet 10.0.0.0/24 --subnet fd00:10::/64")
	for i, h := range hosts[:2] {
		runContainer(t, h, fmt.Sprint("c", i), "net", "")
	}
	t.Log("the first reaches the second after", labtest.Within(t, time.Second, hosts[0], pingScript("c0", "c1")))
	flood := "bridge fdb show dev vxlan-net | grep 00:00:00:00:00:00"
	if got := labtest.Sh(t, hosts[0], flood); strings.Count(got, "dst") != 1 || !strings.Contains(got, hosts[1].Addr4().String()) {
		t.Errorf("floods to\n%s", got)
	}

	p.CreateOn(t, hosts[2:], "net", "--opt vni=100 --subnet 10.0.0.0/24 --subnet fd00:10::/64")
	third := runContainer(t, hosts[2], "c2", "net", "")
	for i, h := range hosts {
		for j := range hosts {
			took := labtest.Within(t, time.Second, h, pingScript(fmt.Sprint("c", i), fmt.Sprint("c", j)))
			t.Logf("c%d reaches c%d after %v", i, j, took)
			labtest.Sh(t, h, fmt.Sprintf("podman exec c%d ping -6 -c1 -W1 c%d", i, j))
		}
	}
	// Each host has an address of its own, by which it reaches containers on the others.
	own := make(map[string]bool)
	for _, h := range hosts {
		own[labtest.Sh(t, h, "ip -4 -o address show dev br-vxlan-net | awk '{print $4}' | grep -v ^10.0.0.1/")] = true
		labtest.Sh(t, h, "ping -c1 -W1 "+third)
	}
	if len(own) != 3 {
		t.Errorf("the hosts have %v", own)
	}

	// It leaves: the others stop flooding to it, and its addresses are free.
	if out := labtest.Refused(t, hosts[0], "podman run --rm --network net --ip "+third+" localhost/busybox true"); !strings.Contains(out, "in use by container c2 on host") {
		t.Errorf("podman says %s", out)
	}
	labtest.Sh(t, hosts[2], "podman rm -f -t0 c2")
	t.Log("nobody floods to it after", labtest.Within(t, 2*time.Second, hosts[0], "! "+flood+" | grep "+hosts[2].Addr4().String()))
	runContainer(t, hosts[0], "again", "net", "--ip "+third)
	labtest.Within(t, time.Second, hosts[1], pingScript("c1", third))
	for i, h := range hosts {
		labtest.Sh(t, h, "podman rm -f -t0 -a >/dev/null")
		if left := labtest.Leftovers(t, h); strings.Contains(left, "vx") && !strings.Contains(left, "vxland.") {
			t.Errorf("host %d has left %s", i, left)
		}
	}
}

// A container that is restarted gets a free address; one whose network is reloaded or whose agent
// is killed keeps its own.
func testAddressesSurviveRestartReloadAndAgentKill(t *testing.T, p labtest.Plane) {
	l := p.Start(t, lab.Config{Hosts: 2})
	a, b := l.Hosts()[0], l.Hosts()[1]
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=100 --subnet 10.0.0.0/24")
	first := runContainer(t, a, "ca", "net", "")
	runContainer(t, b, "cb", "net", "--mac-address 02:00:00:00:00:77")
	labtest.Within(t, time.Second, a, pingScript("ca", "cb"))
	labtest.Sh(t, a, "podman network reload ca")
	if got := labtest.Address(t, a, "ca", "net"); got != first {
		t.Errorf("after a reload it has %s, had %s", got, first)
	}
	labtest.Within(t, time.Second, b, pingScript("cb", first))
	labtest.Sh(t, a, "podman restart -t0 ca")
	labtest.Within(t, time.Second, b, pingScript("cb", "ca"))
	for i := range 5 {
		labtest.Sh(t, a, "pkill -9 -x vxland || true")
		runContainer(t, a, fmt.Sprint("n", i), "net", "")
		labtest.Within(t, 2*time.Second, b, pingScript("cb", fmt.Sprint("n", i)))
	}
	if got := labtest.Sh(t, b, "podman exec cb cat /sys/class/net/eth0/address"); got != "02:00:00:00:00:77" {
		t.Errorf("the MAC is %s", got)
	}
}

// Without an agent no container starts. The error says why, and nothing is left.
func testNoContainerStartsWithoutAgent(t *testing.T, p labtest.Plane) {
	t.Parallel()
	l := p.Start(t, lab.Config{Hosts: 1})
	h := l.Hosts()[0]
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=100 --subnet 10.0.0.0/24")
	// By etcd an agent has defined the network, and is there for some seconds yet.
	labtest.Sh(t, h, "! pgrep -x vxland || pkill -x vxland; while pgrep -x vxland; do sleep 0.05; done")
	for program, want := range map[string]string{
		"#!/bin/sh\nexit 3\n":        "address on network net: start vxland: it ended at once: exit status 3; see /run/vxlan/vxland.log",
		"#!/bin/sh\nexec sleep 60\n": "it does not answer within 2s; see /run/vxlan/vxland.log",
	} {
		if err := h.WriteFile("/usr/local/bin/vxland", []byte(program), 0o755); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		out := labtest.Refused(t, h, "podman run --rm --network net localhost/busybox true")
		if took := time.Since(began); took > 10*time.Second || !strings.Contains(out, want) {
			t.Errorf("after %v podman says %s", took, out)
		}
		if left := labtest.Sh(t, h, "ip -br link | grep vx || true; ls /run/vxlan/networks; nft list tables"); left != "" {
			t.Errorf("left %s", left)
		}
	}
}
