package agenttest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// start starts a lab whose hosts have the plugin and the agent under test.
func start(t *testing.T, hosts int) *lab.Lab {
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

// sh runs a script on a host that must succeed.
func sh(t *testing.T, h *lab.Host, script string) string {
	t.Helper()
	out, err := h.Sh(t.Context(), script)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fails runs a script that must fail, and returns what it printed.
func fails(t *testing.T, h *lab.Host, script string) string {
	t.Helper()
	out, err := h.Sh(t.Context(), "exec 2>&1; "+script)
	if err == nil {
		t.Fatalf("%s on %s succeeded: %s", script, h.Name(), out)
	}
	return out
}

// within repeats a script until it succeeds, for what takes a bounded time to become true, and returns how long it took.
func within(t *testing.T, limit time.Duration, h *lab.Host, script string) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		at := time.Since(began)
		out, err := h.Sh(t.Context(), "exec 2>&1; "+script)
		if err == nil {
			return time.Since(began)
		}
		if at > limit {
			t.Fatalf("not within %v: %s on %s: %v: %s", limit, script, h.Name(), err, out)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// create makes the same network on each host.
func create(t *testing.T, l *lab.Lab, name, flags string) {
	t.Helper()
	var all []string
	for _, h := range l.Hosts() {
		all = append(all, h.Addr4().String())
	}
	for _, h := range l.Hosts() {
		sh(t, h, fmt.Sprintf("podman network create --driver vxlan --opt local_ip=auto --opt remote_ips=%s --opt physical_interface=eth0 %s %s",
			strings.Join(all, ","), flags, name))
	}
}

// run starts a container that serves HTTP. What Podman prints besides the id is an error.
func run(t *testing.T, h *lab.Host, name, flags string) {
	t.Helper()
	if out := sh(t, h, "exec 2>&1; podman run -d --name "+name+" "+flags+" localhost/web"); strings.Contains(out, "\n") || strings.Contains(out, "vxlan:") {
		t.Errorf("podman run on %s says\n%s", h.Name(), out)
	}
}

// resolves is a script that succeeds if the container finds the name.
func resolves(container, name string) string {
	return fmt.Sprintf("podman exec %s nslookup %s >/dev/null", container, name)
}

// upstream starts a name server that knows www.example.test.
func upstream(t *testing.T, h *lab.Host) {
	t.Helper()
	sh(t, h, `mkdir -p /tmp/dns; printf '%s\nup 192.0.2.7  www.example.test\n' `+h.Addr4().String()+` > /tmp/dns/up
		/usr/lib/podman/aardvark-dns -c /tmp/dns -p 53 run </dev/null >/dev/null 2>&1 &
		for i in $(seq 50); do ss -Hlnu | grep -q ':53 ' && exit 0; sleep 0.02; done; exit 1`)
}
