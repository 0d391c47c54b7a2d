package agenttest

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// Keys are 32 bytes in base64.
const (
	keyOfAll     = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	keyOfNobody  = "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="
	clusterOther = "cluster = \"other\"\n"
)

// configureAgent writes a host's configuration, and ends the agent that has another.
func configureAgent(t *testing.T, h *lab.Host, key, more string) {
	t.Helper()
	text := more
	if key != "" {
		text += "key_file = \"/etc/vxlan/key\"\n"
	}
	if err := h.WriteFile("/etc/vxlan/vxland.toml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile("/etc/vxlan/key", []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	labtest.Sh(t, h, "vxland --check-config; pkill -x vxland || true; while pgrep ^vxland >/dev/null; do sleep 0.02; done")
}

// A fourth host with another key or another label is refused, and so is one that is not listed
// where there is no key. It learns nothing, and the others accept nothing from it. The log and
// vxlanctl status say so, and the three others work as before.
func TestHostsWithOtherKeyOrLabelAreRefused(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 4, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	hosts := l.Hosts()
	three, fourth := hosts[:3], hosts[3]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	for _, tt := range []struct {
		name              string
		key, theirs, more string
		counter           string
	}{
		{"wrong key", keyOfAll, keyOfNobody, "", "wrong key"},
		{"no key where there is one", keyOfAll, "", "", "wrong key"},
		{"wrong label", keyOfAll, keyOfAll, clusterOther, "wrong cluster label"},
		{"wrong label, no key", "", "", clusterOther, "wrong cluster label"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, h := range three {
				configureAgent(t, h, tt.key, "")
			}
			configureAgent(t, fourth, tt.theirs, tt.more)
			checkFourthHostRefused(t, three, fourth, tt.counter)
		})
	}
	// Without a key, only listed hosts are accepted. The three do not list the fourth, which lists
	// them.
	t.Run("not listed", func(t *testing.T) {
		for _, h := range three {
			labtest.Sh(t, h, "podman network rm net >/dev/null")
			configureAgent(t, h, "", "")
		}
		configureAgent(t, fourth, "", "")
		labtest.CreateOn(t, three, "net", "--opt vni=100 --subnet 10.0.0.0/24 --ip-range 10.0.0.0/26")
		checkFourthHostRefused(t, three, fourth, "host is not listed")
		// Both sides say who, since when and what to do.
		theirs := labtest.Sh(t, three[0], "vxlanctl status")
		if !regexp.MustCompile(fourth.Addr4().String()+`: \d+ in \d+`).MatchString(theirs) || !strings.Contains(theirs, "add it to remote_ips on this host") {
			t.Errorf("%s says\n%s", three[0].Name(), theirs)
		}
		labtest.Within(t, 20*time.Second, fourth, "vxlanctl status | grep -A1 'host does not list this one' | grep "+three[0].Addr4().String())
	})
}

// checkFourthHostRefused starts a container on each host, and checks that the three know each other
// but not the fourth.
func checkFourthHostRefused(t *testing.T, three []*lab.Host, fourth *lab.Host, counter string) {
	t.Helper()
	for i, h := range append(three[:3:3], fourth) {
		labtest.Sh(t, h, "rm -f /run/vxlan/vxland.log")
		name, flags := fmt.Sprintf("c%d", i), fmt.Sprintf("--network net --ip 10.0.0.%d", 10+i)
		if h == fourth { // it is warned if the others have answered by then
			out := labtest.Sh(t, h, "exec 2>&1; podman run -d --name "+name+" "+flags+" localhost/web")
			if warning, _, found := strings.Cut(out, "\n"); found && !strings.Contains(warning, "no other host was found; ") {
				t.Errorf("podman run says %s", out)
			}
		} else {
			runWebServer(t, h, name, flags)
		}
		t.Cleanup(func() { _, _ = h.Sh(context.Background(), "podman rm -f -t0 -a") }) // the test's context has ended
	}
	count := fmt.Sprintf("vxlanctl status | awk -F': ' '/refused, %s:/ {print $3+0; found=1} END {exit !found}'", counter)
	labtest.Within(t, 20*time.Second, three[0], count)
	for i, h := range three {
		for j := range three {
			labtest.Within(t, 5*time.Second, h, fmt.Sprintf("podman exec c%d ping -c1 -W1 c%d", i, j))
		}
		labtest.Refused(t, h, resolvesName(fmt.Sprintf("c%d", i), "c3.dns.podman"))
		labtest.Refused(t, fourth, resolvesName("c3", fmt.Sprintf("c%d.dns.podman", i)))
		if out := labtest.Sh(t, h, "vxlanctl status"); regexp.MustCompile(fourth.Name()+" +"+fourth.Addr4().String()).MatchString(out) || strings.Count(out, "  reachable") != 2 {
			t.Errorf("%s knows\n%s", h.Name(), out)
		}
	}
	labtest.Sh(t, fourth, resolvesName("c3", "c3.dns.podman")) // its own names work
	t.Logf("%s refused %s times: %s", three[0].Name(), labtest.Sh(t, three[0], count), labtest.Sh(t, three[0], fmt.Sprintf("grep -m1 'reason=\"%s\"' /run/vxlan/vxland.log", counter)))
	for _, h := range append(three[:3:3], fourth) {
		if log := labtest.Sh(t, h, "grep -e panic -e '^goroutine' /run/vxlan/vxland.log || true"); log != "" {
			t.Errorf("%s: %s", h.Name(), log)
		}
		labtest.Sh(t, h, "pgrep -x vxland")
	}
}

// An agent that starts while its key file cannot be used answers the names of its own host, talks to
// nobody, and says so. Once the file can be used, it finds the other host without a restart. On a
// network where hosts agree on addresses it refuses a start until then, and says why.
func TestAgentStartsWithBadKeyFile(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Config{Hosts: 2, Binaries: []string{labtest.Binary(t, "vxlanctl")}})
	a, b := l.Hosts()[0], l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	labtest.CreateNetwork(t, l, "found", "--opt vni=101 --opt discovery=gossip --subnet 10.1.0.0/24")
	for _, h := range l.Hosts() {
		configureAgent(t, h, keyOfAll, "")
	}
	labtest.Sh(t, b, "chmod 644 /etc/vxlan/key")
	runWebServer(t, a, "ca", "--network net")
	runWebServer(t, b, "cb", "--network net")
	labtest.Sh(t, b, resolvesName("cb", "cb.dns.podman"))
	labtest.Sh(t, b, "vxlanctl status | grep '^# VX0704 warning: .*chmod 600 /etc/vxlan/key.; this agent talks to no other host until the file can be used'")
	labtest.Sh(t, b, "grep 'cannot use the key file' /run/vxlan/vxland.log")
	labtest.Refused(t, a, "vxlanctl status | grep "+b.Name())
	labtest.Refused(t, b, resolvesName("cb", "ca.dns.podman"))
	out := labtest.Sh(t, b, "exec 2>&1; ! podman run -d --name cf --network found localhost/web")
	if !strings.Contains(out, "chmod 600 /etc/vxlan/key") {
		t.Errorf("podman run says %s", out)
	}
	pid := labtest.Sh(t, b, "podman rm -f -t0 cf >/dev/null; pgrep -x vxland; chmod 600 /etc/vxlan/key")
	labtest.Within(t, 5*time.Second, b, resolvesName("cb", "ca.dns.podman"))
	labtest.Within(t, 5*time.Second, a, resolvesName("ca", "cb.dns.podman"))
	runWebServer(t, b, "cf", "--network found")
	if now := labtest.Sh(t, b, "pgrep -x vxland"); now != pid {
		t.Errorf("another agent runs: %s, then %s", pid, now)
	}
}
