package agenttest

import (
	_ "embed" // for the script
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

//go:embed systemd.sh
var systemdScript string

// install puts the agent and its units where `make install` does, in place of the program that the lab put elsewhere.
func install(t *testing.T, h *lab.Host) {
	t.Helper()
	stage := t.TempDir()
	if out, err := exec.Command("make", "-C", "../..", "install", "DESTDIR="+stage).CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	for path, mode := range map[string]os.FileMode{
		"/usr/local/libexec/vxlan/vxland": 0o755, "/usr/local/lib/systemd/system/vxland.service": 0o644, "/usr/local/lib/systemd/system/vxland.socket": 0o644,
	} {
		data, err := os.ReadFile(filepath.Join(stage, path))
		if err == nil {
			err = h.WriteFile(path, data, mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	labtest.Sh(t, h, "rm /usr/local/bin/vxland")
}

// node is a host on which systemd runs, and Podman with it.
type node struct {
	*testing.T
	host *lab.Host
}

// try runs a script in systemd's PID namespace.
func (n node) try(script string) (string, error) {
	return n.host.Run(n.Context(), "sh", "-c", `exec nsenter -t "$(pgrep -ox systemd)" -p -m -- sh -euc "$1"`, "sh", "exec 2>&1; "+script)
}

// sh runs a script that must succeed.
func (n node) sh(script string) string {
	n.Helper()
	out, err := n.try(script)
	if err != nil {
		n.Fatal(err, out)
	}
	return out
}

// fails runs a script that must fail.
func (n node) fails(script string) string {
	n.Helper()
	out, err := n.try(script)
	if err == nil {
		n.Fatalf("%s succeeded: %s", script, out)
	}
	return out
}

// run starts a container. What Podman prints besides the id is an error.
func (n node) run(name string) {
	n.Helper()
	if out := n.sh("podman run -d --name " + name + " --network net localhost/web"); strings.Contains(out, "\n") {
		n.Errorf("podman run says\n%s", out)
	}
}

// within repeats a script until it succeeds, and returns how long it took.
func (n node) within(limit time.Duration, script string) time.Duration {
	n.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		out, err := n.try(script)
		took := time.Since(began)
		if err == nil {
			return took
		}
		if took > limit {
			n.Fatalf("not within %v: %s: %v: %s", limit, script, err, out)
		}
	}
}

// startNode starts systemd on a host and installs the agent with its units.
func startNode(t *testing.T, h *lab.Host) node {
	t.Helper()
	install(t, h)
	labtest.Sh(t, h, systemdScript)
	n := node{t, h}
	n.sh("systemd-analyze verify --man=no vxland.socket vxland.service")
	return n
}

// The packaged units under a real systemd: the first container starts the agent, which is started again when it is killed,
// ends when it is told to, and logs to the journal.
func TestSystemdRunsTheAgent(t *testing.T) {
	l := start(t, 2)
	a, b := startNode(t, l.Hosts()[0]), l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	run(t, b, "cb", "--network net")
	if out := a.sh("systemctl is-active vxland.socket vxland.service || true"); out != "inactive\ninactive" {
		t.Errorf("before the first container: %s", out)
	}
	a.run("ca")
	a.sh(resolves("ca", "ca.dns.podman"))
	a.within(2*time.Second, "podman exec ca ping -c1 -W1 cb")
	a.sh("systemctl is-active vxland.socket vxland.service; ! pgrep -x vxland-keeper; test ! -e /run/vxlan/vxland.log")
	a.sh("journalctl -u vxland --no-pager | grep 'vxland started'")
	// It reaches the container's namespace from the unit's own mounts.
	a.within(time.Second, announced("ca"))
	a.sh("! journalctl -u vxland --no-pager | grep 'not announced'")

	// Killed: nobody calls Podman, and it is back.
	a.sh("pkill -9 -x vxland")
	t.Log("back after a kill:", a.within(2*time.Second, resolves("ca", "ca.dns.podman")))
	a.within(2*time.Second, resolves("ca", "cb.dns.podman"))
	if out := a.sh("systemctl show -p NRestarts --value vxland"); out != "1" {
		t.Errorf("%s restarts", out)
	}

	// Stopped on purpose: clean, and the next container starts it again.
	a.sh("systemctl stop vxland.service")
	if out := a.sh("systemctl show -p Result,ActiveState vxland"); !strings.Contains(out, "Result=success") || !strings.Contains(out, "ActiveState=inactive") {
		t.Errorf("after stop: %s", out)
	}
	a.sh("sleep 1; ! pgrep -x vxland; podman exec ca ping -c1 -W1 " + labtest.Address(t, b, "cb", "net"))
	a.run("ca2")
	a.sh(resolves("ca2", "ca.dns.podman"))
	// With no container left it stays: to start and stop a service is the operator's business.
	a.sh("podman rm -f -t0 ca ca2; sleep 6; systemctl is-active vxland.service")
}

// With a configuration that is wrong the unit does not start, and all that is wrong is named.
func TestSystemdAndAWrongConfiguration(t *testing.T) {
	l := start(t, 2)
	a, b := startNode(t, l.Hosts()[0]), l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	run(t, b, "cb", "--network net")
	a.sh(`mkdir -p /etc/vxlan; printf 'prot = 1\nbind = "0.0.0.0"\nseeds = ["here"]\nkey_file = "/nowhere"\n' >/etc/vxlan/vxland.toml`)
	out := a.fails("/usr/local/libexec/vxlan/vxland --check-config")
	for _, want := range []string{"/etc/vxlan/vxland.toml", "prot: is unknown", "bind", "seeds", "key_file"} {
		if !strings.Contains(out, want) {
			t.Errorf("--check-config does not name %s:\n%s", want, out)
		}
	}
	a.fails("systemctl start vxland.service")
	if out := a.sh("podman run -d --name bad --network net localhost/web"); !strings.Contains(out, "no container names") || !strings.Contains(out, "journalctl -u vxland") {
		t.Errorf("podman run says %s", out)
	}
	a.sh("journalctl -u vxland --no-pager | grep 'prot: is unknown'")
	// Put right, and the next container has names, whatever systemd thinks of the unit by now.
	a.sh("rm /etc/vxlan/vxland.toml; podman rm -f -t0 bad")
	a.run("good")
	a.within(2*time.Second, "podman exec good ping -c1 -W1 cb")
}
