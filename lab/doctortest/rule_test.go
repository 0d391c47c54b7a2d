package doctortest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// testRuleDeleted deletes the rule by which what is to leave by WireGuard over IPv6 finds its way. The agent sets it
// at once, and says so.
func testRuleDeleted(t *testing.T, l *lab.Lab) {
	a, b := l.Host("host-a"), l.Host("host-b")
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, fmt.Sprintf("podman network create --driver vxlan --opt local_ip=%s --opt remote_ips=%s,%s "+
			"--opt physical_interface=eth0 --opt vni=301 --subnet 10.3.6.0/24 --opt encryption=wireguard six >/dev/null; "+
			"podman run -d --name six-%s --network six localhost/web", h.Addr6(), a.Addr6(), b.Addr6(), h.Name()))
	}
	awaitHealth(t, l.Hosts()...)
	reach := "podman exec six-host-b ping -c1 -W2 " + addressOf(t, a, "six")
	labtest.Eventually(t, b, reach)
	const deleteRule, isThere = "ip -6 rule del oif wg0-six", "ip -6 rule | grep -q 'oif wg0-six'"
	labtest.Sh(t, b, deleteRule)
	labtest.Eventually(t, b, isThere)
	const repaired = "WireGuard device wg0-six had no rule or route of its own"
	if said := labtest.Sh(t, b, "vxlanctl events"); !strings.Contains(said, repaired) {
		t.Errorf("no event says what was repaired:\n%s", said)
	}
	wantFirst(t, b, "VX1008", "host-b", "just repaired: WireGuard device wg0-six")
	awaitHealth(t, l.Hosts()...)
	// While the agent is stopped doctor finds it, and the agent sets it right as soon as it goes on.
	labtest.Sh(t, b, labtest.FreezeAgent+"; "+deleteRule)
	stopped, all := awaitFinding(t, b, "VX0701")
	isFound := slices.ContainsFunc(all, func(f finding) bool {
		return f.Code == "VX1008" && f.Network == "six" && strings.Contains(f.Summary, "leave by eth0")
	})
	if stopped.Code != "VX0701" || !isFound {
		t.Errorf("found %s", describe(all))
	}
	fault{}.typeMend(t, l, stopped)
	labtest.Eventually(t, b, isThere)
	awaitHealth(t, l.Hosts()...)
	labtest.Sh(t, b, reach)
	for _, h := range l.Hosts() {
		labtest.Sh(t, h, "podman rm -f -t0 six-"+h.Name()+"; podman network rm six")
	}
}
