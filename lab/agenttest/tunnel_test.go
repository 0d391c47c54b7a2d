package agenttest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// Where VXLAN's port is blocked, in one direction or for large packets, both hosts' status says
// what is lost, although the agents hear each other. When it is open again, the status is clean.
func TestBlockedTunnelIsReported(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	a, b := l.Hosts()[0], l.Hosts()[1]
	block := func(rule string) {
		labtest.Sh(t, b, "nft -f - <<'END'\ntable inet block\ndelete table inet block\ntable inet block { chain in { type filter hook input priority 0; udp dport 4789 "+rule+"; }; }\nEND")
	}
	runWebServer(t, a, "ca", "--network net")
	block("drop")
	labtest.Sh(t, b, "podman run -d --name cb --network net localhost/web 2>/dev/null") // it warns of the chain
	const status = "vxlanctl status | grep -q "
	t.Log("one direction, from here: seen after", labtest.Within(t, 30*time.Second, a, status+"'VX0302 failure.*no VXLAN packet arrives at host host-b'"))
	t.Log("one direction, to here: seen after", labtest.Within(t, 30*time.Second, b, status+"'VX0301 failure.*no VXLAN packet passes to or from host host-a'"))
	labtest.Sh(t, a, status+"'host-b.* reachable .* none$'")
	labtest.Within(t, 15*time.Second, a, "! vxlanctl mesh >/tmp/mesh; grep -q '^host-a .* lost .* refused there' /tmp/mesh && grep -q '^host-b .* lost .* on the way back' /tmp/mesh")
	block("meta length gt 1452 drop") // 1402 bytes and the 50 that VXLAN adds
	t.Log("large packets: seen after", labtest.Within(t, 30*time.Second, a, status+"'VX0303 failure.*frames of 1450 bytes to host host-b'"))
	labtest.Within(t, 30*time.Second, b, "! "+status+"VX03")
	labtest.Sh(t, b, "nft delete table inet block")
	t.Log("mended: seen after", labtest.Within(t, 30*time.Second, a, "! "+status+"VX03"))
	labtest.Sh(t, a, "podman exec ca ping -c1 -W1 cb")
	if log := labtest.Sh(t, a, "cat /run/vxlan/vxland.log"); !strings.Contains(log, "VXLAN packets to a host are lost") || !strings.Contains(log, "VXLAN packets to a host pass again") {
		t.Errorf("logged\n%s", log)
	}
}
