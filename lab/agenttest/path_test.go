package agenttest

import (
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// Between two hosts, ping and trace say that all is well, and else where packets get lost and by
// which rule. The rule is seen by drops, too.
func TestPathBetweenHosts(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	a, b := l.Hosts()[0], l.Hosts()[1]
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	labtest.Eventually(t, a, "podman exec ca ping -c1 -W1 cb")
	wantOutput(t, a, "vxlanctl ping cb -c 3", "sent 3, received 3, lost 0%", "largest packet 1450 bytes of 1450", "through the tunnel to host host-b")
	wantOutput(t, a, "vxlanctl ping host-b -c 3", "largest packet 1500 bytes of 1500")
	wantOutput(t, a, "vxlanctl trace ca cb", "cb answered after", "host host-a", "host host-b", `rule "IPv4 to another host"`,
		`rule "no connection tracking for VXLAN"`, `rule "from a member over IPv4"`)
	tracePort(t, a, b)
	capturePackets(t, a, b)
	labtest.Within(t, 10*time.Second, a, "vxlanctl mesh") // each host has tested its tunnel
	for _, tt := range []struct {
		host *lab.Host
		hook string
	}{{b, "prerouting priority -400"}, {a, "output priority 0"}} {
		labtest.Sh(t, tt.host, "nft -f - <<'END'\ntable inet block {\n chain c {\n type filter hook "+tt.hook+";\n udp dport 4789 drop comment \"no tunnel here\"\n }\n}\nEND")
		labtest.Sh(t, tt.host, "vxlanctl drops -f net --count 1 >/tmp/drops 2>/tmp/watching & echo $! >/tmp/pid; until grep -q watching /tmp/watching; do sleep 0.02; done")
		const rule = `by inet block c, rule "no tunnel here"`
		wantOutput(t, a, "! vxlanctl trace ca cb", "dropped on host "+tt.host.Name()+" ("+tt.host.Addr4().String()+") "+rule)
		wantOutput(t, tt.host, "tail --pid=$(cat /tmp/pid) -f /dev/null; cat /tmp/drops", "net ", "dropped "+rule)
		labtest.Sh(t, tt.host, "nft delete table inet block")
	}
	for _, h := range l.Hosts() {
		if tables := labtest.Sh(t, h, "nft list tables"); strings.Contains(tables, "trace") {
			t.Errorf("%s: a trace left its table: %s", h.Name(), tables)
		}
	}
}

// tracePort follows TCP packets from ca to cb. No rule sees those that eBPF programs take.
func tracePort(t *testing.T, a, b *lab.Host) {
	t.Helper()
	if !labtest.UsesPrograms() {
		wantOutput(t, a, "vxlanctl trace ca cb:80", "cb answered after", `rule "IPv4 to another host"`, `rule "from a member over IPv4"`)
		return
	}
	for _, h := range []*lab.Host{a, b} {
		labtest.Within(t, 5*time.Second, h, "vxlanctl status --format json | tr -d ' \n' | grep -q '\"ebpf\":true'")
	}
	wantOutput(t, a, "vxlanctl trace ca cb:80", "cb answered after", "eBPF programs passed the packets on, and no rule saw them")
}

// capturePackets watches TCP packets from ca to cb by the documented ways. Both see them, whatever
// passes them on.
func capturePackets(t *testing.T, a, b *lab.Host) {
	t.Helper()
	for _, tt := range []struct {
		host    *lab.Host
		command string
		want    string
	}{
		{a, "vxlanctl capture net -c 8 tcp port 80", "VXLAN, flags [I] (0x08), vni 100"},
		{b, "nsenter -t $(podman inspect -f '{{.State.Pid}}' cb) -n tcpdump -c 2 -vvni eth0 'tcp or udp'", "> 10.0.0.128.80: Flags"},
	} {
		labtest.Sh(t, tt.host, "timeout 20 "+tt.command+" >/tmp/captured 2>/tmp/capturing & echo $! >/tmp/pid")
		over := func() bool {
			_, err := tt.host.Sh(t.Context(), "! kill -0 $(cat /tmp/pid) 2>/dev/null")
			return err == nil
		}
		for !over() { // it watches for 20 seconds at most
			labtest.Sh(t, a, "podman exec ca wget -qO- http://10.0.0.128/ >/dev/null")
		}
		wantOutput(t, tt.host, "cat /tmp/capturing /tmp/captured", tt.want)
	}
}

// wantOutput runs a command that is to succeed, and looks for texts in what it prints.
func wantOutput(t *testing.T, h *lab.Host, script string, texts ...string) {
	t.Helper()
	out := labtest.Sh(t, h, script)
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("%s: %s: no %q in\n%s", h.Name(), script, text, out)
		}
	}
	t.Logf("%s\n%s", script, out)
}
