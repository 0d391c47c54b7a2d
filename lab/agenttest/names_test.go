package agenttest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// A container on one host finds one on another by its name: this is what the agent is for.
func testContainersFindEachOtherByName(t *testing.T, p labtest.Plane) {
	l := p.Start(t, lab.Config{Hosts: 3})
	p.CreateOn(t, l.Hosts(), "net", "--opt vni=100 --subnet 10.0.0.0/24")
	p.CreateOn(t, l.Hosts(), "other", "--opt vni=101 --subnet 10.0.1.0/24")
	hosts := l.Hosts()
	for i, h := range hosts {
		runWebServer(t, h, fmt.Sprintf("c%d", i), fmt.Sprintf("--network net:alias=alias%d", i))
		// Its own name and alias resolve at once, and so does the start of its id.
		id := labtest.Sh(t, h, fmt.Sprintf("podman inspect -f '{{.Id}}' c%d", i))
		for _, name := range []string{fmt.Sprintf("c%d", i), fmt.Sprintf("alias%d", i), id[:12], fmt.Sprintf("c%d.dns.podman", i)} {
			labtest.Sh(t, h, fmt.Sprintf("podman exec c%d ping -c1 -W1 %s", i, name))
		}
	}
	runWebServer(t, hosts[0], "x", "--network other")
	for i, h := range hosts {
		for j := range hosts {
			for _, name := range []string{fmt.Sprintf("c%d", j), fmt.Sprintf("alias%d", j)} {
				took := labtest.Within(t, 3*time.Second, h, fmt.Sprintf("podman exec c%d ping -c1 -W1 %s", i, name))
				t.Logf("c%d finds %s after %v", i, name, took)
			}
		}
	}
	// A name of one network does not resolve in another, whatever the host.
	for _, c := range []struct {
		on              int
		container, name string
	}{{0, "c0", "x"}, {0, "x", "c0"}, {1, "c1", "x"}, {0, "x", "c1"}} {
		if out := labtest.Refused(t, hosts[c.on], "podman exec "+c.container+" nslookup "+c.name+".dns.podman"); !strings.Contains(out, "NXDOMAIN") {
			t.Errorf("%s asks for %s: %s", c.container, c.name, out)
		}
	}
	// By address.
	addr := labtest.Address(t, hosts[1], "c1", "net")
	if out := labtest.Sh(t, hosts[0], "podman exec c0 nslookup "+addr); !strings.Contains(out, "c1") {
		t.Errorf("%s is %s", addr, out)
	}
	labtest.Sh(t, hosts[1], "podman rm -f -t0 c1")
	labtest.Within(t, 2*time.Second, hosts[0], "! "+resolvesName("c0", "c1.dns.podman"))
}
