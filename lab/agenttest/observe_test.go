package agenttest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// What vxlanctl lists on healthy hosts is what is there, and nothing is wrong. What somebody adds to
// the forwarding tables is found. A cluster without a network goes.
func TestHostsAreObserved(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	a, b := l.Hosts()[0], l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	labtest.CreateOn(t, l.Hosts()[1:], "far", "--opt vni=200 --subnet 10.2.0.0/24 --opt remote_ips="+labtest.VTEPs(l))
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	runWebServer(t, b, "cfar", "--network far")
	addr := labtest.Address(t, b, "cb", "net")
	has := func(h *lab.Host, command string, parts ...string) {
		t.Helper()
		out := labtest.Sh(t, h, command)
		for _, part := range parts {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), part) {
				t.Errorf("%s: %s has no %q:\n%s", h.Name(), command, part, out)
			}
		}
	}
	for _, h := range l.Hosts() {
		labtest.Within(t, 20*time.Second, h, "vxlanctl status | grep -q '^all is well: ' && ! vxlanctl status | grep '^#'")
		has(h, "vxlanctl status --check ready", "OK: all is well")
		labtest.Within(t, 5*time.Second, h, "vxlanctl fdb --diff")
	}
	has(a, "vxlanctl status", "net 100 1 1 [1/1] 1450", "host-b 198.18.0.12 reachable")
	has(a, "vxlanctl status --all", "all is well on 2 hosts", "host-a (198.18.0.11) ok 1 1 [1/1]", "host-b (198.18.0.12) ok 2 2 [1/1]")
	has(a, "vxlanctl endpoints", "ca net 10.0.0.2", "cb net "+addr, "host-b (198.18.0.12) up", "cfar far 10.2.0.")
	has(a, "vxlanctl names cb", "cb net "+addr+" cb host-b")
	has(a, "vxlanctl host ls", "host-b 198.18.0.12 reachable", " net 1 ")
	has(a, "vxlanctl network ls", "net 100 up 1 1 1 1450 10.0.0.0/24", "far 200 not here 0 1 1 1450 10.2.0.0/24", "vxlanctl network adopt far")
	has(a, "vxlanctl network inspect net", "host-b (198.18.0.12) reachable 1 1450 198.18.0.12", "vni=100")
	has(a, "vxlanctl address show net", "10.0.0.0/24 host-b (198.18.0.12) 10.0.0.128-10.0.0.253 10.0.0.254 1 0 125")
	has(a, "vxlanctl address check "+addr+" || test $? = 1", "container cb on host host-b (198.18.0.12) has it")
	has(a, "vxlanctl address check 10.0.0.99", "free; this host hands it out")
	has(a, "vxlanctl conflicts", "VALUE KIND")
	has(a, "vxlanctl fdb", "net fdb", "cb on host-b (198.18.0.12) ok", "net neighbour "+addr, "net flood all")

	tryTop(t, a, b, addr)

	labtest.Sh(t, a, "bridge fdb add 02:00:00:00:00:99 dev vxlan-net dst 198.18.0.99 self permanent")
	if out := labtest.Refused(t, a, "vxlanctl fdb --diff"); !strings.Contains(out, "02:00:00:00:00:99") || !strings.Contains(out, "extra") {
		t.Errorf("fdb --diff says\n%s", out)
	}
	labtest.Sh(t, a, "vxlanctl reload")
	labtest.Within(t, 5*time.Second, a, "vxlanctl fdb --diff")

	// Without its agent the host shows what it has, and says so.
	labtest.Sh(t, a, "pkill -x vxland; while pgrep ^vxland >/dev/null; do sleep 0.02; done")
	has(a, "vxlanctl endpoints", "ca net 10.0.0.2", "# vxland does not run")
	has(a, "vxlanctl network inspect net", "host-a this host")
	has(a, "vxlanctl status --check live || test $? = 2", "FAILURE: 1 failure; VX0701 vxland does not run, but 1 container needs it")
}
