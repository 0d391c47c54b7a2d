package lab_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// stubPlugin is a netavark plugin that makes nothing, so that these tests test the lab alone.
const stubPlugin = `#!/bin/sh
case $1 in
create) cat ;;
setup) cat >/dev/null; echo '{"dns_search_domains":[],"dns_server_ips":[],"interfaces":{}}' ;;
teardown) cat >/dev/null ;;
info) echo '{"version":"0","api_version":"1.0.0"}' ;;
esac
`

// startLab starts a lab whose hosts have the stub plugin.
func startLab(t *testing.T, config lab.Config) *lab.Lab {
	t.Helper()
	config.Plugin = filepath.Join(t.TempDir(), "stub")
	if err := os.WriteFile(config.Plugin, []byte(stubPlugin), 0o755); err != nil {
		t.Fatal(err)
	}
	return labtest.Start(t, config)
}

func TestHostsReachEachOther(t *testing.T) {
	l := startLab(t, lab.Config{Hosts: 2, Outside: true, MTU: 1600})
	a, b := l.Host("host-a"), l.Host("host-b")
	for _, to := range []*lab.Host{b, l.Host("outside")} {
		labtest.Sh(t, a, "ping -c1 -W2 -M do -s 1572 "+to.Addr4().String()) // 1600 with IP and ICMP headers
		labtest.Sh(t, a, "ping -c1 -W2 "+to.Addr6().String())
	}
	if name := labtest.Sh(t, a, "hostname"); name != "host-a" {
		t.Errorf("hostname is %q", name)
	}
	if _, err := l.UnderlayIP(t.Context(), "link", "set", "host-b", "down"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sh(t.Context(), "ping -c1 -W1 "+b.Addr4().String()); err == nil {
		t.Error("host-b answers although its cable is cut")
	}
}

func TestAddHost(t *testing.T) {
	l := startLab(t, lab.Config{Hosts: 1, Outside: true})
	b, err := l.AddHost(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b.Name() != "host-b" || len(l.Hosts()) != 2 {
		t.Errorf("added host is %s, lab has %d", b.Name(), len(l.Hosts()))
	}
	labtest.Sh(t, b, "ping -c1 -W2 "+l.Host("host-a").Addr4().String())
}

func TestRunReportsFailure(t *testing.T) {
	l := startLab(t, lab.Config{Hosts: 1})
	a := l.Host("host-a")
	_, err := a.Sh(t.Context(), "echo reason >&2; exit 7")
	failed, ok := errors.AsType[*lab.RunError](err)
	if !ok || failed.Code != 7 || failed.Stderr != "reason\n" || !strings.Contains(err.Error(), "host-a") {
		t.Errorf("got %#v", err)
	}
	// A cancelled command ends with all it started.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := a.Sh(ctx, "sleep 1000; true"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want deadline exceeded", err)
	}
	labtest.Eventually(t, a, "! pgrep sleep") // a killed process is there until its parent has waited for it
}

func TestPodman(t *testing.T) {
	l := startLab(t, lab.Config{Hosts: 2})
	a, b := l.Host("host-a"), l.Host("host-b")
	if out := labtest.Sh(t, a, "podman run --rm busybox echo hello"); out != "hello" {
		t.Errorf("podman run printed %q", out)
	}
	// netavark's own bridge, with names, NAT and a published port.
	labtest.Sh(t, a, "podman network create net; podman run -d --name web --network net -p 8080:80 web")
	page := labtest.Eventually(t, a, "podman run --rm --network net busybox wget -qO- http://web")
	if !strings.Contains(page, "It works") {
		t.Errorf("page is %q", page)
	}
	labtest.Eventually(t, b, "curl -sS --max-time 2 http://"+a.Addr4().String()+":8080")
	labtest.Sh(t, a, "podman run --rm --network net busybox ping -c1 -W2 "+b.Addr4().String())
	// Podman finds the plugin, and the hosts share no state.
	labtest.Sh(t, a, "podman network create --driver vxlan --subnet 10.9.0.0/24 vx")
	if out := labtest.Sh(t, b, "podman network ls -q; podman ps -aq"); out != "podman" {
		t.Errorf("host-b has networks and containers %q", out)
	}
}

func TestReboot(t *testing.T) {
	l := startLab(t, lab.Config{Hosts: 2})
	a := l.Host("host-a")
	labtest.Sh(t, a, `podman network create net; podman run -d --name web --network net -p 8080:80 web
		touch /etc/kept /run/lost; ip link add lost type bridge; mkdir -p /usr/local/bin; ln -s /bin/true /usr/local/bin/kept`)
	if err := a.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	labtest.Sh(t, a, "test -e /etc/kept -a -x /usr/local/bin/kept -a ! -e /run/lost -a ! -e /sys/class/net/lost -a ! -e /sys/class/net/podman1")
	if state := labtest.Sh(t, a, "podman ps -a --format '{{.Names}} {{.State}}'"); state != "web exited" {
		t.Errorf("containers after the reboot: %q", state)
	}
	labtest.Sh(t, a, "podman start web")
	labtest.Eventually(t, l.Host("host-b"), "curl -sS --max-time 2 http://"+a.Addr4().String()+":8080")
}

func TestInvalidConfigIsRefused(t *testing.T) {
	tree := lab.Tree{Root: "/nowhere"}
	for want, config := range map[string]lab.Config{
		"lab name":        {Tree: tree, Name: "../x"},
		"number of hosts": {Tree: tree, Hosts: 27},
		"underlay MTU":    {Tree: tree, MTU: 100},
		"no tree":         {Hosts: 1},
		"not a file":      {Tree: tree, Plugin: "/nowhere/vxlan"},
	} {
		if _, err := lab.Start(t.Context(), config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("start with %+v: got %v, want an error about %q", config, err, want)
		}
	}
}
