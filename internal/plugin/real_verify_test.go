package plugin

import (
	"encoding/json"
	"strings"
	"testing"
)

// To look at all elements of a firewall that is whole changes nothing, and what is missing or
// somebody else's is found.
func TestRealVerify(t *testing.T) {
	host, _ := newRealHosts(t)
	ns, r := realRequest(t, "198.18.0.10", 1)
	r.Network = json.RawMessage(strings.Replace(string(r.Network), `"vni"`, `"port_security": "true", "isolate": "strict", "vni"`, 1))
	r.PortMappings = json.RawMessage(`[{"container_port": 80, "host_port": 8080, "protocol": "tcp", "range": 3},
		{"container_port": 53, "host_ip": "198.18.0.10", "host_port": 53, "protocol": "udp"}]`)
	if _, err := host.Setup(ns, r); err != nil {
		t.Fatal(err)
	}
	handles := func() string { return runShell(t, host.ns, "nft -a list tables") }
	before, want := handles(), runShell(t, host.ns, "nft -s list ruleset")
	verifyFirewall(t, host.Plugin)
	if after := handles(); after != before {
		t.Errorf("the tables were loaded anew: %s, then %s", before, after)
	}
	for _, damage := range []string{
		"nft flush set inet vxlan-driver members4",
		"nft flush map inet vxlan-driver ports4",
		"nft flush set bridge vxlan-driver source_ip6",
		"nft flush set inet vxlan-driver masquerade4",
		"nft add element inet vxlan-driver internal '{ br-old }'",
		"nft delete element inet vxlan-driver ports_at4 '{ 198.18.0.10 . udp . 53 }'; nft add element inet vxlan-driver ports_at4 '{ 198.18.0.10 . udp . 53 : 10.9.9.9 . 53 }'",
	} {
		runShell(t, host.ns, damage)
		verifyFirewall(t, host.Plugin)
		if got := runShell(t, host.ns, "nft -s list ruleset"); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", damage, got, want)
		}
	}
}
