package jointest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// cluster makes the hosts of a lab members, the first one with init, and returns them.
func cluster(t *testing.T, l *lab.Lab) []*lab.Host {
	t.Helper()
	hosts := l.Hosts()
	for _, h := range hosts[1:] {
		command := joinCommand(t, hosts[0], "vxlanctl init --address "+hosts[0].Addr4().String())
		labtest.Sh(t, h, command)
	}
	return hosts
}

// wantKeys waits until the hosts use one and the same key, as the first one's tool lists it, and
// returns it.
func wantKeys(t *testing.T, by *lab.Host, hosts int) string {
	t.Helper()
	const list = "vxlanctl key ls --noheading --format '{{(index .Keys 0)}} {{len .Keys}}'"
	out := labtest.Eventually(t, by, list+" | sort | uniq -c")
	fields := strings.Fields(out)
	if len(fields) != 3 || fields[0] != string(rune('0'+hosts)) || fields[2] != "1" {
		t.Errorf("keys on %d hosts: %s", hosts, out)
	}
	return fields[1]
}

// The key is changed on three hosts. With one of them down it stops, and says how to go on: both
// ways are gone.
func TestRotateKey(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	hosts := cluster(t, l)
	a, b, c := hosts[0], hosts[1], hosts[2]
	labtest.Sh(t, a, "podman network create --driver vxlan --opt discovery=gossip --opt vni=100 --opt local_ip=auto --opt physical_interface=eth0 --subnet 10.0.0.0/24 mynet")
	labtest.Sh(t, a, "podman run -d --name ca --network mynet localhost/web")
	labtest.Sh(t, b, "vxlanctl network adopt mynet; podman run -d --name cb --network mynet localhost/web")
	first := wantKeys(t, a, 3)

	if out := labtest.Sh(t, a, "vxlanctl key rotate"); strings.Count(out, ": 3 of 3 hosts") != 3 {
		t.Errorf("rotate says\n%s", out)
	}
	second := wantKeys(t, a, 3)
	if second == first {
		t.Error("the key is the old one")
	}
	labtest.Within(t, 3*time.Second, a, "podman exec ca ping -c1 -W1 cb")

	setUnderlay := func(h *lab.Host, state string) {
		t.Helper()
		if _, err := l.UnderlayIP(t.Context(), "link", "set", h.Name(), state); err != nil {
			t.Fatal(err)
		}
	}
	setUnderlay(c, "down")
	labtest.Within(t, 20*time.Second, a, "vxlanctl host ls | grep 'host-c.*unreachable'")
	out := labtest.Refused(t, a, "vxlanctl key rotate")
	if !strings.Contains(out, "host host-c") || !strings.Contains(out, "type `vxlanctl key rotate` again") || !strings.Contains(out, "`vxlanctl key rotate --without host-c`") {
		t.Errorf("with a host down: %s", out)
	}
	if got := labtest.Sh(t, a, "vxlanctl status | grep '^key'"); !strings.Contains(got, second) {
		t.Errorf("while it is stopped: %s", got)
	}
	// On a member that is no longer the first one's issuer it works as well.
	labtest.Sh(t, b, "vxlanctl key rotate --without host-c")
	third := wantKeys(t, b, 2)
	if third == second {
		t.Error("the key is the old one")
	}
	if left := labtest.Sh(t, b, "vxlanctl host ls | grep host-c || true; ls /var/lib/vxlan/key-rotation 2>/dev/null || true"); left != "" {
		t.Errorf("left: %s", left)
	}
	// The retired host is back, and is not understood.
	setUnderlay(c, "up")
	labtest.Within(t, 30*time.Second, b, "vxlanctl status | grep 'refused, wrong key'")
	if got := labtest.Sh(t, b, "vxlanctl host ls | grep host-c || true"); got != "" {
		t.Errorf("it is a member again: %s", got)
	}
	labtest.Within(t, 3*time.Second, a, "podman exec ca ping -c1 -W1 cb")

	// A host leaves for good, and joins again.
	if out := labtest.Refused(t, b, "vxlanctl leave"); !strings.Contains(out, "cb on mynet") {
		t.Errorf("leave with a container: %s", out)
	}
	labtest.Sh(t, b, "podman rm -f -t0 cb")
	labtest.Sh(t, b, "vxlanctl leave")
	if left := labtest.Sh(t, b, "ls /etc/vxlan"); left != "" {
		t.Errorf("leave has left %s", left)
	}
	labtest.Within(t, 3*time.Second, a, "! vxlanctl host ls | grep host-b")
	labtest.Sh(t, b, joinCommand(t, a, "vxlanctl token create"))
}

// A firewall in the way is named with its port, its host and its direction. Opened as it says, the
// same token works.
func TestJoinSaysWhichPortIsClosed(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a, b := l.Hosts()[0], l.Hosts()[1]
	join := joinCommand(t, a, "vxlanctl init --address "+a.Addr4().String())
	const open = "nft delete table inet t 2>/dev/null || true"
	drop := func(rule string) string {
		return "nft add table inet t; nft 'add chain inet t in { type filter hook input priority 0; }'; nft add rule inet t in " + rule + " drop"
	}
	for _, tt := range []struct {
		name, rule string
		host       *lab.Host
		want       string
	}{
		{"UDP 4789 here", "udp dport 4789", b, "UDP 4789: what host-a (" + a.Addr4().String() + ") sends does not arrive here: open the port on this host"},
		{"UDP 7947 there", "udp dport 7947", a, "UDP 7947: what this host sends does not arrive at host-a"},
		{"TCP 7947 here", "tcp dport 7947", b, "TCP 7947 of this host is not reached from host-a"},
		{"TCP 7949 there", "tcp dport 7949", a, "no answer: open TCP 7949 on that host"},
		{"large packets", "udp dport 4789 udp length '>' 1380", a, "packets of more than 1400 bytes are lost on the way, though both interfaces have MTU 1500"},
	} {
		labtest.Sh(t, tt.host, drop(tt.rule))
		out := labtest.Refused(t, b, join)
		if !strings.Contains(out, tt.want) || strings.Count(out, "failure: ") > 1 {
			t.Errorf("%s: join says\n%s", tt.name, out)
		}
		if key := labtest.Sh(t, b, "ls /etc/vxlan 2>/dev/null || true"); key != "" {
			t.Errorf("%s: it has %s", tt.name, key)
		}
		labtest.Sh(t, tt.host, open)
	}
	if left := labtest.Sh(t, a, "ip -br link | grep vx- || true"); left != "" {
		t.Errorf("left %s", left)
	}
	labtest.Sh(t, a, "vxlanctl token ls | grep unused")
	// Packets of a network with a port of its own.
	labtest.Sh(t, a, "podman network create --driver vxlan --opt discovery=gossip --opt vni=100 --opt vxlan_port=8472 --opt local_ip=auto --opt physical_interface=eth0 --subnet 10.0.0.0/24 mynet")
	labtest.Sh(t, a, drop("udp dport 8472"))
	if out := labtest.Refused(t, b, join); !strings.Contains(out, "failure: UDP 8472: what this host sends does not arrive at host-a") || strings.Contains(out, "4789") {
		t.Errorf("with another port closed: %s", out)
	}
	labtest.Sh(t, a, open)
	if out := labtest.Sh(t, b, join); !strings.Contains(out, "checked: TCP and UDP 7947, and UDP 8472, and UDP 4789, both ways") {
		t.Errorf("join says\n%s", out)
	}
}
