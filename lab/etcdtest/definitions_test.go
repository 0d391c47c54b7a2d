package etcdtest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab/labtest"
)

// createByName is typed for a network that is defined already.
const createByName = "podman network create --driver vxlan --opt discovery=etcd "

// The first host defines a network. The other one gets the same by its name, from podman or by adopt.
func TestNetworkIsDefinedOnce(t *testing.T) {
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	for _, h := range l.Hosts() { // which tells the underlay to "auto"
		labtest.Sh(t, h, "ip route add default via 198.18.0.1 dev eth0 onlink")
	}
	out := labtest.Refused(t, b, createByName+"mynet")
	if !strings.Contains(out, "network mynet: it is not defined in etcd, so its first host defines it: "+
		"give --subnet too") {
		t.Error(out)
	}
	labtest.Sh(t, a, createByName+"--opt mtu=1400 --subnet 10.0.0.0/24 mynet")
	labtest.Sh(t, a, createByName+"--internal --subnet 10.1.0.0/24 second")
	out = labtest.Sh(t, b, "vxlanctl network ls")
	if !strings.Contains(out, "network mynet is defined in etcd, and not here; to create it here: vxlanctl network "+
		"adopt mynet") {
		t.Error(out)
	}
	out = labtest.Refused(t, b, createByName+"--opt vni=7 --opt mtu=1300 mynet")
	if !strings.Contains(out, "mtu: 1300 given, 1400 in etcd") || !strings.Contains(out, "vni: 7 given, 10000 in etcd") {
		t.Error(out)
	}
	labtest.Sh(t, b, createByName+"mynet")
	labtest.Sh(t, b, "vxlanctl network adopt second")
	const show = "podman network inspect mynet second --format '{{.Options.vni}} {{.Options.mtu}} {{.Subnets}} " +
		"{{.Internal}}'"
	here, there := labtest.Sh(t, a, show), labtest.Sh(t, b, show)
	if here != there || !strings.Contains(here, "10000 1400 ") || !strings.Contains(here, "10001 ") {
		t.Errorf("one host has %s, the other one %s", here, there)
	}
	for i, name := range []string{"c0", "c1"} {
		labtest.Sh(t, l.Hosts()[i], "podman run -d --name "+name+" --network mynet localhost/web")
	}
	labtest.Within(t, 3*time.Second, a, "podman exec c0 ping -c1 -W1 c1")
	// Podman's own command leaves the definition, and vxlanctl's retires it where it is the last one.
	labtest.Sh(t, a, "podman network rm second")
	labtest.Sh(t, a, createByName+"second")
	if out = labtest.Sh(t, a, "vxlanctl network rm second"); !strings.Contains(out,
		"network second stays defined in etcd: host ") {
		t.Error(out)
	}
	if out = labtest.Refused(t, a, "vxlanctl network rm second"); !strings.Contains(out, "it is in use: host ") {
		t.Error(out)
	}
	if out = labtest.Sh(t, b, "vxlanctl network rm second"); !strings.Contains(out, "network second is retired") {
		t.Error(out)
	}
	stopEtcd(t, l)
	began := time.Now()
	out = labtest.Refused(t, b, createByName+"--subnet 10.2.0.0/24 third")
	if took := time.Since(began); took > 5*time.Second || !strings.Contains(out, "connection refused") {
		t.Errorf("without etcd it takes %v: %s", took, out)
	}
	startEtcd(t, l)
	labtest.Within(t, 10*time.Second, b, createByName+"--subnet 10.2.0.0/24 third")
	if vnis := labtest.Sh(t, a, getFromEtcd(l, "--prefix --keys-only /vxlan/v1/vnis/")); strings.Fields(vnis)[1] !=
		"/vxlan/v1/vnis/10001-4789" {
		t.Errorf("got %s", vnis)
	}
}
