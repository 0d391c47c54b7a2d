package agenttest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// startLab starts a lab whose hosts have the plugin and the agent under test.
func startLab(t *testing.T, hosts int) *lab.Lab {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: hosts, Outside: true})
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, h := range l.Hosts() {
			// The test's context has ended.
			log, err := h.Sh(context.Background(), "cat /run/vxlan/vxland.log; ss -lnup; cat /run/vxlan/networks/*/*.json")
			t.Logf("%s: agent:\n%s\n%v", h.Name(), log, err)
		}
	})
	return l
}

// runWebServer starts a container that serves HTTP. It fails if Podman prints anything besides the
// id.
func runWebServer(t *testing.T, h *lab.Host, name, flags string) {
	t.Helper()
	if out := labtest.Sh(t, h, "exec 2>&1; podman run -d --name "+name+" "+flags+" localhost/web"); strings.Contains(out, "\n") || strings.Contains(out, "vxlan:") {
		t.Errorf("podman run on %s says\n%s", h.Name(), out)
	}
}

// arpNotifySet is a script that succeeds once the container announces its addresses (arp_notify).
func arpNotifySet(container string) string {
	return "podman exec " + container + " grep -qx 1 /proc/sys/net/ipv4/conf/eth0/arp_notify"
}

// resolvesName is a script that succeeds if the container resolves the name.
func resolvesName(container, name string) string {
	return fmt.Sprintf("podman exec %s nslookup %s >/dev/null", container, name)
}

// startUpstreamDNS starts a name server that knows www.example.test.
func startUpstreamDNS(t *testing.T, h *lab.Host) {
	t.Helper()
	labtest.Sh(t, h, `mkdir -p /tmp/dns; printf '%s\nup 192.0.2.7  www.example.test\n' `+h.Addr4().String()+` > /tmp/dns/up
		/usr/lib/podman/aardvark-dns -c /tmp/dns -p 53 run </dev/null >/dev/null 2>&1 &
		for i in $(seq 50); do ss -Hlnu | grep -q ':53 ' && exit 0; sleep 0.02; done; exit 1`)
}
