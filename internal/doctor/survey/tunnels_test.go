package survey_test

import (
	"fmt"
	"strings"
	"testing"
)

// Without agents the hosts' own addresses in the network tell what passes the tunnel.
func TestTunnelsWithoutAgents(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	a, b := l.hosts[0], l.hosts[1]
	l.startNetwork("plain", false, map[string]string{"vni": "101", "vxlan_port": "4790"})
	l.awaitHealth(t)
	for _, f := range []struct {
		name, rule string
		look       int
		code, says string
	}{
		{"nothing passes", "udp dport 4790 drop", 0, "VX0301", "no VXLAN packet passes to or from host 198.18.0.12"},
		{"nothing passes, seen from the other host", "udp dport 4790 drop", 1, "VX0301", "no VXLAN packet passes to or from host 198.18.0.11"},
		{"nothing passes one way", "oifname host-b udp dport 4790 drop", 0, "VX0301", "to or from host 198.18.0.12"},
		{"large packets are lost", "udp dport 4790 meta length > 1400 drop", 0, "VX0303", "frames of 1450 bytes to host 198.18.0.12 are lost"},
		{"some packets are lost", "udp dport 4790 numgen random mod 100 < 10 drop", 0, "VX0304", "to host 198.18.0.12 are lost"},
	} {
		t.Run(f.name, func(t *testing.T) {
			l.between(f.rule)
			h := l.hosts[f.look]
			h.look(t, f.code, h.name, f.says)
			l.removeRules()
			l.awaitHealth(t)
		})
	}

	// After its last container a host has no device, and says so.
	b.sh("ip link delete vxlan-plain")
	if found := a.doctor(""); len(found) > 0 {
		t.Errorf("host-b has no device: found %v", found)
	}
}

// Without agents a host with another VNI or port is found by what its containers send.
func TestOtherTunnelWithoutAgents(t *testing.T) {
	needAll(t)
	l := newLAN(t, 2)
	for i, h := range l.hosts {
		start := func(name, subnet, vni, port string) {
			h.createNetwork(name, false, subnet+".0/24", map[string]string{"remote_ips": l.remotes(), "vni": vni, "vxlan_port": port})
			h.start(name, name+"-"+h.name, fmt.Sprintf("%s.%d", subnet, 11+i))
		}
		start("vni", "10.0.6", fmt.Sprint(101+i), "4789")
		start("port", "10.0.7", "107", fmt.Sprint(4791+i))
	}
	a, b := l.hosts[0], l.hosts[1]
	for _, h := range l.hosts { // nobody has said anything
		h.awaitFinding("VX0301", h.name, "or no container of the network runs there")
	}
	for _, tt := range []struct{ network, missing, says string }{
		{"port", "10.0.7.99", "network port differs on host 198.18.0.12: the VXLAN port is 4792 there and 4791 here"},
		{"vni", "10.0.6.99", "network vni differs on host 198.18.0.12: the VNI is 102 there and 101 here"},
	} {
		b.sh("ip netns exec " + tt.network + "-host-b ping -c 60 -i 0.2 " + tt.missing + " >/dev/null 2>&1 &")
		found := a.awaitFinding("VX0306", "host-a", tt.says)
		if len(found.Evidence) == 0 {
			t.Errorf("found %v", found)
		}
		b.sh("pkill -x ping")
	}
	// Who looks for a container there hears that nobody has the port, or that nobody answers.
	a.sh("ip netns exec port-host-a ping -c 1 -W 1 10.0.7.200 || true; ip netns exec vni-host-a ping -c 1 -W 1 10.0.6.200 || true")
	found := fmt.Sprint(a.doctor(""))
	for _, want := range []string{"VX0308 warning host-a port: host 198.18.0.12 has no VXLAN device on UDP port 4791", "VX0301 warning host-a vni: no VXLAN packet passes to or from host 198.18.0.12"} {
		if !strings.Contains(found, want) {
			t.Errorf("want %s, found %s", want, found)
		}
	}
}

// A host that has another network's device on the UDP port, and none of this network's, is as silent as
// one whose port is closed. So both are named, as a warning, until it is heard to be there for another
// network.
func TestHostWithAnotherNetworkAlone(t *testing.T) {
	t.Parallel()
	l := newLAN(t, 2)
	a, b := l.hosts[0], l.hosts[1]
	options := func(vni string) map[string]string { return map[string]string{"remote_ips": l.remotes(), "vni": vni} }
	a.createNetwork("here", false, "10.0.1.0/24", options("101"))
	a.start("here", "here-a", "10.0.1.11")
	b.createNetwork("there", false, "10.0.2.0/24", options("102"))
	b.start("there", "there-b", "10.0.2.12")
	found := a.awaitFinding("VX0301", "host-a", "to or from host 198.18.0.12, or no container of the network runs there")
	if text := fmt.Sprint(found); found.Level != "warning" ||
		!strings.Contains(text, "or only another network has the port there") ||
		!strings.Contains(text, "podman ps --filter network=here") {
		t.Errorf("found %s", text)
	}
	b.sh("ip netns exec there-b ping -c 60 -i 0.2 10.0.2.99 >/dev/null 2>&1 &")
	a.awaitHealth(t)
	b.sh("pkill -x ping")
}

// Who drops the other host's answers itself does not blame that host.
func TestOwnInputDropsWithoutAgents(t *testing.T) {
	needAll(t)
	l := startWithoutAgents(t)
	b := l.hosts[1]
	b.sh("nft 'table inet f { chain c { type filter hook input priority 0; udp dport 4789 limit rate over 1/day " +
		"burst 1 packets drop; }; }'; " + talk + " || true")
	found := b.doctor("")
	if len(found) < 2 || found[0].Code != "VX0506" || found[1].Code != "VX0302" ||
		found[1].Summary != "this host drops the VXLAN packets of host 198.18.0.11" ||
		!strings.HasPrefix(found[1].Mend[0], "nft list ruleset") {
		t.Errorf("found %v", found)
	}
	b.sh("nft delete table inet f")
	l.awaitHealth(t)
}
