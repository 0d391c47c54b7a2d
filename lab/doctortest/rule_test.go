package doctortest

import (
	"fmt"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// testRuleDeleted deletes the rule by which what is to leave by WireGuard over IPv6 finds its way.
func testRuleDeleted(t *testing.T, l *lab.Lab) {
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, fmt.Sprintf("podman network create --driver vxlan --opt local_ip=%s --opt discovery=gossip "+
			"--opt physical_interface=eth0 --opt vni=301 --subnet 10.3.6.0/24 --opt encryption=wireguard six >/dev/null; "+
			"podman run -d --name six-%s --network six localhost/web", h.Addr6(), h.Name()))
	}
	awaitHealth(t, l.Hosts()...)
	b := l.Host("host-b")
	out := labtest.Sh(t, b, `ip -6 rule; ip -6 rule del oif wg0-six; vxlanctl doctor || true; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do date +%s.%N; ip -6 rule; sleep 0.3; done; vxlanctl events`)
	t.Log(out)
	out = labtest.Sh(t, b, killAgent+`; sleep 0.5; ip -6 rule del oif wg0-six; vxlanctl doctor || true; vxlanctl reload; sleep 1;  vxlanctl events; ip -6 rule`)
	t.Log(out)
}
