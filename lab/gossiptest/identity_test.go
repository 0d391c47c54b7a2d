package gossiptest

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// A host reboots and gets another address, as by DHCP. It is the same host: its container gets its
// own address again at once, and the others know the host by its new address only. Then it gets
// another name, which the others show.
func testHostRebootsWithAnotherAddress(t *testing.T, p labtest.Plane) {
	t.Parallel()
	l := p.Start(t, lab.Config{Hosts: 2})
	a, b := l.Hosts()[0], l.Hosts()[1]
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runContainer(t, a, "ca", "net", "")
	runContainer(t, b, "cb", "net", "--ip 10.0.0.50")
	labtest.Within(t, 2*time.Second, a, pingScript("ca", "cb"))
	id := labtest.Sh(t, b, "cat /var/lib/vxlan/host-id")
	if err := b.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := b.Addr4().String()
	labtest.Sh(t, b, "ip addr del "+old+"/24 dev eth0 && ip addr add 198.18.0.77/24 dev eth0")
	labtest.Sh(t, b, "podman start cb")
	labtest.Within(t, 2*time.Second, a, pingScript("ca", "cb"))
	status := labtest.Sh(t, a, "vxlanctl status")
	if !regexp.MustCompile(`host-b +198\.18\.0\.77 +reachable`).MatchString(status) || strings.Contains(status, old) {
		t.Errorf("the status of %s says\n%s", a.Name(), status)
	}
	if now := labtest.Sh(t, b, "cat /var/lib/vxlan/host-id"); now != id {
		t.Errorf("the ID was\n%s\nand is\n%s", id, now)
	}
	labtest.Sh(t, b, "hostname renamed")
	labtest.Within(t, 2*time.Second, a, "vxlanctl status | grep -E 'renamed +198.18.0.77 +reachable'")
}
