package jointest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// startLab starts hosts that have the programs, and no configuration.
func startLab(t *testing.T, hosts int) *lab.Lab {
	t.Helper()
	l := labtest.Start(t, lab.Config{Hosts: hosts, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	labtest.Each(t, l.Hosts(), func(h *lab.Host) { labtest.RemoveConfig(t, h) })
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for _, h := range l.Hosts() {
			// The test's context has ended.
			log, err := h.Sh(context.Background(), "cat /run/vxlan/vxland.log; vxlanctl status; cat /etc/vxlan/*.toml; vxlanctl key ls")
			t.Logf("%s: agent:\n%s\n%v", h.Name(), log, err)
		}
	})
	return l
}

// joinCommand makes a token, and returns the command that it prints alone on stdout.
func joinCommand(t *testing.T, h *lab.Host, command string) string {
	t.Helper()
	out := labtest.Sh(t, h, "{ "+command+"; } 2>/tmp/said || { cat /tmp/said; exit 1; }")
	if !strings.HasPrefix(out, "vxlanctl join vx1.") || strings.Contains(out, "\n") {
		t.Fatalf("%s prints %q", command, out)
	}
	return out
}

// From nothing to a ping by name across three hosts.
func TestInitJoinAdopt(t *testing.T) {
	t.Parallel()
	l := startLab(t, 3)
	a, b, c := l.Hosts()[0], l.Hosts()[1], l.Hosts()[2]
	first := joinCommand(t, a, "vxlanctl init --address "+a.Addr4().String())
	labtest.Sh(t, a, "podman network create --driver vxlan --opt discovery=gossip --opt vni=100 --opt local_ip=auto --opt physical_interface=eth0 --opt mtu=1400 --subnet 10.0.0.0/24 mynet")
	labtest.Sh(t, a, "podman run -d --name ca --network mynet localhost/web")

	said := labtest.Sh(t, b, first)
	for _, want := range []string{"checked: TCP and UDP 7947, and UDP 4789, both ways", "the agents have met: host-a", "joined", "vxlanctl network adopt mynet"} {
		if !strings.Contains(said, want) {
			t.Errorf("join says no %q:\n%s", want, said)
		}
	}
	// A network that has no container anywhere is found too.
	labtest.Sh(t, a, "podman network create --driver vxlan --opt discovery=gossip --opt vni=101 --opt local_ip=auto --opt physical_interface=eth0 --subnet 10.1.0.0/24 quiet")
	if got := labtest.Sh(t, b, "vxlanctl network ls -q --filter 'state=not here'"); got != "mynet\nquiet" {
		t.Errorf("other hosts have %q", got)
	}
	labtest.Sh(t, b, "vxlanctl network adopt mynet")
	// The token is used. It is read from a pipe, so it is in no history and no list of processes.
	if out := labtest.Refused(t, c, "echo '"+first+"' | vxlanctl join -"); !strings.Contains(out, "the token was used from host-b ("+b.Addr4().String()+")") {
		t.Errorf("a used token: %s", out)
	}
	refuseExpired(t, a, c)
	second := joinCommand(t, b, "vxlanctl token create --ttl 5m")
	labtest.Sh(t, c, "echo '"+second+"' | vxlanctl join --adopt-all -")
	for i, h := range []*lab.Host{b, c} {
		name := fmt.Sprint("c", i)
		labtest.Sh(t, h, "podman run -d --name "+name+" --network mynet localhost/web")
		labtest.Within(t, 3*time.Second, h, "podman exec "+name+" ping -c1 -W1 ca")
		labtest.Within(t, 3*time.Second, a, "podman exec ca ping -c1 -W1 "+name)
	}
	if got := labtest.Sh(t, c, "podman network inspect mynet -f '{{.Options.mtu}} {{.Options.local_ip}}'"); got != "1400 auto" {
		t.Errorf("the adopted network has %s", got)
	}
	for _, h := range l.Hosts() {
		if mode := labtest.Sh(t, h, "stat -c %a /etc/vxlan/key; ip -br link | grep vx-join || true"); mode != "600" {
			t.Errorf("%s: mode and devices that are left: %s", h.Name(), mode)
		}
		if refused := labtest.Sh(t, h, "vxlanctl status | grep refused || true"); refused != "" {
			t.Errorf("%s: %s", h.Name(), refused)
		}
	}
}

// refuseExpired tries a token after its time, which is made short in the issuer's file: a minute is the
// least that a token is good for.
func refuseExpired(t *testing.T, issuer, joiner *lab.Host) {
	t.Helper()
	expired := "echo '" + joinCommand(t, issuer, "vxlanctl token create --ttl 1m") + "' | vxlanctl join -"
	labtest.Sh(t, issuer, `sed -i 's/"ttl":60000000000/"ttl":1/' /var/lib/vxlan/tokens/*.json
		pkill -x vxland; while pgrep -x vxland; do sleep 0.02; done; vxlanctl reload; vxlanctl wait ready`)
	if listed := labtest.Sh(t, issuer, "vxlanctl token ls"); !strings.Contains(listed, "expired") {
		t.Errorf("listed are\n%s", listed)
	}
	if out := labtest.Refused(t, joiner, expired); !strings.Contains(out, "the token expired ") ||
		!strings.Contains(out, "create another one there with `vxlanctl token create`") {
		t.Errorf("an expired token: %s", out)
	}
	if left := labtest.Sh(t, joiner, "ls /etc/vxlan 2>/dev/null || true"); left != "" {
		t.Errorf("who came with it has %s", left)
	}
}
