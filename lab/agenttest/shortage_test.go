package agenttest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// An agent that has no descriptors left waits: it neither ends nor takes a processor, and says so
// once.
func TestAgentWaitsForDescriptors(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	a := l.Hosts()[0]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, a, "ca", "--network net")
	const limit = `pid=$(pgrep -x vxland); prlimit --pid $pid --nofile=`
	// The lowest limit takes each new descriptor from it: of connections, files and namespaces.
	labtest.Sh(t, a, limit+`3: && echo $pid >/tmp/pid; for i in 1 2; do timeout 1 vxlanctl status; podman exec ca timeout 1 nc -w1 10.0.0.1 53; done >/dev/null 2>&1 </dev/null || true`)
	log := labtest.Sh(t, a, `cat /run/vxlan/vxland.log; test $(pgrep -x vxland) = $(cat /tmp/pid)`)
	for _, once := range []string{"cannot accept connections of plugins", "name server socket failed"} {
		if strings.Count(log, once) != 1 {
			t.Errorf("not once %q in the log\n%s", once, log)
		}
	}
	// Ticks of 10 ms: some seconds with hardly any work.
	if ticks := labtest.Sh(t, a, `awk '{print $14 + $15 < 150 ? "few" : $14 + $15}' /proc/$(pgrep -x vxland)/stat`); ticks != "few" {
		t.Errorf("it took %s ticks of a processor", ticks)
	}
	labtest.Sh(t, a, limit+"1024:; test $(pgrep -x vxland) = $(cat /tmp/pid)")
	labtest.Within(t, 5*time.Second, a, "vxlanctl status && "+resolvesName("ca", "ca.dns.podman"))
	runWebServer(t, a, "ca2", "--network net")
	labtest.Within(t, 5*time.Second, a, resolvesName("ca2", "ca.dns.podman"))
}

// A full /run, which is memory, takes neither names nor the agent away.
func TestAgentGoesOnWhileRunIsFull(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	labtest.Within(t, 3*time.Second, a, resolvesName("ca", "cb.dns.podman"))
	labtest.Sh(t, a, "mount -o remount,size=64m /run; cat /dev/zero >/run/fill || true; ! echo x >/run/vxlan/x; pgrep -x vxland >/tmp/pid; pgrep -x vxland-keeper >>/tmp/pid")
	runWebServer(t, b, "cb2", "--network net")
	labtest.Within(t, 3*time.Second, a, resolvesName("ca", "cb2.dns.podman"))
	labtest.Sh(t, a, "pkill -9 -x vxland")
	labtest.Within(t, 5*time.Second, a, resolvesName("ca", "cb2.dns.podman"))
	labtest.Sh(t, a, "rm /run/fill")
	runWebServer(t, a, "ca2", "--network net")
	labtest.Within(t, 5*time.Second, a, resolvesName("ca2", "cb2.dns.podman"))
}
