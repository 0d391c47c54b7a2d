package agenttest

import (
	"fmt"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// setUnderlayLink takes a host off the underlay ("down") or puts it back ("up").
func setUnderlayLink(t *testing.T, l *lab.Lab, host, state string) {
	t.Helper()
	if _, err := l.UnderlayIP(t.Context(), "link", "set", host, state); err != nil {
		t.Fatal(err)
	}
}

// On both sides of a partition containers keep running, start and stop. Names of the other side are
// hidden. After the partition every host knows exactly the names that exist.
func TestContainersStartOnBothSidesOfPartition(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	hosts := l.Hosts()
	for i, h := range hosts {
		runWebServer(t, h, fmt.Sprintf("stays%d", i), "--network net")
		runWebServer(t, h, fmt.Sprintf("goes%d", i), "--network net")
	}
	for i, h := range hosts {
		for j := range hosts {
			labtest.Within(t, 2*time.Second, h, resolvesName(fmt.Sprintf("stays%d", i), fmt.Sprintf("goes%d.dns.podman", j)))
		}
	}
	setUnderlayLink(t, l, "host-c", "down")
	t.Log("hidden here:", labtest.Within(t, 20*time.Second, hosts[0], "! "+resolvesName("stays0", "stays2.dns.podman")))
	t.Log("hidden there:", labtest.Within(t, 20*time.Second, hosts[2], "! "+resolvesName("stays2", "stays0.dns.podman")))
	for i, h := range hosts {
		labtest.Sh(t, h, fmt.Sprintf("podman rm -f -t0 goes%d", i))
		runWebServer(t, h, fmt.Sprintf("comes%d", i), "--network net")
	}
	// Within each side, names resolve.
	labtest.Within(t, 2*time.Second, hosts[0], "podman exec stays0 ping -c1 -W1 comes1")
	labtest.Within(t, 2*time.Second, hosts[1], "podman exec comes1 ping -c1 -W1 stays0")
	labtest.Within(t, 2*time.Second, hosts[2], "podman exec stays2 ping -c1 -W1 comes2")
	labtest.Refused(t, hosts[0], resolvesName("stays0", "comes2.dns.podman"))

	setUnderlayLink(t, l, "host-c", "up")
	began := time.Now()
	for i, h := range hosts {
		for j := range hosts {
			labtest.Within(t, 20*time.Second, h, fmt.Sprintf("podman exec stays%d ping -c1 -W1 comes%d", i, j))
			labtest.Within(t, time.Second, h, fmt.Sprintf("podman exec stays%d ping -c1 -W1 stays%d", i, j))
		}
	}
	t.Log("all found after healing:", time.Since(began))
	for i, h := range hosts {
		for j := range hosts {
			labtest.Refused(t, h, resolvesName(fmt.Sprintf("stays%d", i), fmt.Sprintf("goes%d.dns.podman", j)))
		}
	}
}
