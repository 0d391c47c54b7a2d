package etcdtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// create is typed on each host.
const create = "podman network create --driver vxlan --opt discovery=etcd --opt local_ip=auto " +
	"--opt physical_interface=eth0 --opt vni=100 --subnet 10.0.0.0/24 net"

// startLab starts a lab whose first host has an etcd, which all use.
func startLab(t *testing.T, hosts int) *lab.Lab {
	t.Helper()
	binaries := append(labtest.EtcdPrograms(t), labtest.Binary(t, "vxlanctl"))
	l := labtest.Start(t, lab.Config{Hosts: hosts, Binaries: binaries})
	config := fmt.Sprintf("ebpf = %v\n[etcd]\nendpoints = [%q]\nlease = \"5s\"\n", labtest.UsesPrograms(), endpoint(l))
	for _, h := range l.Hosts() {
		if err := h.WriteFile("/etc/vxlan/vxland.toml", []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	startEtcd(t, l)
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, h := range l.Hosts() {
			// The test's context has ended.
			log, err := h.Sh(context.Background(), "cat /run/vxlan/vxland.log; vxlanctl status")
			t.Logf("%s: agent:\n%s\n%v", h.Name(), log, err)
		}
	})
	return l
}

// endpoint is where the first host's etcd listens.
func endpoint(l *lab.Lab) string { return fmt.Sprintf("http://%v:2379", l.Hosts()[0].Addr4()) }

// startEtcd starts the first host's etcd, or starts it again with what it had.
func startEtcd(t *testing.T, l *lab.Lab) {
	t.Helper()
	labtest.Sh(t, l.Hosts()[0], fmt.Sprintf("mkdir -p /run/etcd; setsid -f sh -c 'echo $$ >/run/etcd/pid; "+
		"exec etcd --data-dir /run/etcd/data --listen-client-urls %[1]s --advertise-client-urls %[1]s "+
		"--listen-peer-urls http://127.0.0.1:2380 --log-level error' >/run/etcd/log 2>&1", endpoint(l)))
	labtest.Within(t, 10*time.Second, l.Hosts()[0], getFromEtcd(l, "x"))
}

func stopEtcd(t *testing.T, l *lab.Lab) {
	t.Helper()
	labtest.Sh(t, l.Hosts()[0], "kill $(cat /run/etcd/pid); "+
		"while kill -0 $(cat /run/etcd/pid) 2>/dev/null; do sleep 0.1; done")
}

// getFromEtcd prints what etcd has.
func getFromEtcd(l *lab.Lab, args string) string {
	return "ETCDCTL_API=3 etcdctl --endpoints " + endpoint(l) + " get " + args
}

// Two hosts find each other by etcd. While it is away what runs goes on, and a new container fails in time
// with the reason. Afterwards all goes on without a restart.
func TestNetworkByEtcd(t *testing.T) {
	l := startLab(t, 2)
	hosts := l.Hosts()
	a, b := hosts[0], hosts[1]
	addrs := make(map[string]string)
	for i, h := range hosts {
		labtest.Sh(t, h, create)
		name := fmt.Sprint("c", i)
		labtest.Sh(t, h, "podman run -d --name "+name+" --network net localhost/web")
		addrs[name] = labtest.Address(t, h, name, "net")
	}
	if addrs["c0"] == addrs["c1"] {
		t.Errorf("both containers have %s", addrs["c0"])
	}
	labtest.Within(t, 3*time.Second, a, "podman exec c0 ping -c1 -W1 c1")
	labtest.Within(t, 3*time.Second, b, "podman exec c1 ping -c1 -W1 c0")
	keys := labtest.Sh(t, a, getFromEtcd(l, "--prefix /vxlan/v1/networks/100-4789/addresses/"))
	for name, addr := range addrs {
		if !strings.Contains(keys, "/addresses/"+addr+"\n") {
			t.Errorf("etcd does not have %s of %s: %s", addr, name, keys)
		}
	}
	out := labtest.Sh(t, a, "vxlanctl status --all")
	if !strings.Contains(out, "on 1 host; 1 host not asked: hosts do not") {
		t.Errorf("of all hosts %s shows\n%s", a.Name(), out)
	}
	second := labtest.Refused(t, b, "podman run --rm --network net --ip "+addrs["c0"]+" localhost/web true")
	if !strings.Contains(second, "is in use by container c0 on host") {
		t.Errorf("a second container with the address: %s", second)
	}
	stopEtcd(t, l)
	labtest.Within(t, 10*time.Second, b, "vxlanctl status | grep 'etcd does not answer'")
	for _, agent := range []string{"runs", "starts"} { // the one that starts does not know yet that etcd is away
		if agent == "starts" {
			labtest.Sh(t, b, "pkill -9 vxland; while pgrep vxland; do sleep 0.02; done") // its keeper ends as well
		}
		began := time.Now()
		out := labtest.Refused(t, b, "podman run -d --name late --network net localhost/web")
		took := time.Since(began)
		if took > 5*time.Second || !strings.Contains(out, "connection refused") {
			t.Errorf("without etcd, and with an agent that %s, a start takes %v: %s", agent, took, out)
		}
		t.Logf("without etcd, and with an agent that %s, a start fails after %.1f s", agent, took.Seconds())
		labtest.Sh(t, b, "podman rm -f -t0 --ignore late")
	}
	labtest.Sh(t, a, "podman exec c0 ping -c1 -W1 c1")
	startEtcd(t, l)
	labtest.Within(t, 10*time.Second, b, "podman rm -f -t0 late; podman run -d --name late --network net localhost/web")
	// Host a may try etcd only two seconds later, and reads only two or three later what it has missed.
	labtest.Within(t, 6*time.Second, a, "podman exec c0 ping -c1 -W1 late")
	for _, h := range hosts {
		labtest.Sh(t, h, "podman rm -f -t0 -a")
	}
	labtest.Within(t, 15*time.Second, a, "! "+getFromEtcd(l, "--prefix --keys-only /vxlan/")+
		" | grep -v -e /definitions/ "+
		"-e /vnis/ -e '^$'")
}

// A host whose agent has no etcd refuses the network when it is created.
func TestNetworkNeedsTheSection(t *testing.T) {
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	out := labtest.Refused(t, l.Hosts()[0], create)
	if !strings.Contains(out, "needs a section [etcd] with endpoints") {
		t.Error(out)
	}
}
