package agenttest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// installWithSystemd puts the agent and its units where `make install` does, in place of the
// program that the lab put elsewhere.
func installWithSystemd(t *testing.T, h *lab.Host) {
	t.Helper()
	// Not by make, which builds with a version of its own, while other tests use the programs.
	for _, name := range []string{"vxlan", "vxland", "vxlanctl"} {
		labtest.Binary(t, name)
	}
	stage := t.TempDir()
	install := exec.Command("../../packaging/install.sh", "install")
	install.Env = append(os.Environ(), "DESTDIR="+stage)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	for path, mode := range map[string]os.FileMode{
		"/usr/local/libexec/vxlan/vxland": 0o755, "/usr/local/bin/vxlanctl": 0o755, "/usr/local/lib/systemd/system/vxland.service": 0o644, "/usr/local/lib/systemd/system/vxland.socket": 0o644,
		"/usr/local/lib/systemd/system/vxlan-reload@.service":     0o644,
		"/usr/local/lib/systemd/system/vxland-wireguard@.service": 0o644,
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

// tryScript runs a script in systemd's PID namespace.
func (n node) tryScript(script string) (string, error) {
	return labtest.TryBySystemd(n, n.host, script)
}

// mustRun runs a script that must succeed.
func (n node) mustRun(script string) string {
	n.Helper()
	out, err := n.tryScript(script)
	if err != nil {
		n.Fatal(err, out)
	}
	return out
}

// mustFail runs a script that must fail.
func (n node) mustFail(script string) string {
	n.Helper()
	out, err := n.tryScript(script)
	if err == nil {
		n.Fatalf("%s succeeded: %s", script, out)
	}
	return out
}

// runContainer starts a container. It fails if Podman prints anything besides the id.
func (n node) runContainer(name string) {
	n.Helper()
	if out := n.mustRun("podman run -d --name " + name + " --network net localhost/web"); strings.Contains(out, "\n") {
		n.Errorf("podman run says\n%s", out)
	}
}

// succeedsWithin repeats a script until it succeeds, and returns how long it took.
func (n node) succeedsWithin(limit time.Duration, script string) time.Duration {
	n.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		out, err := n.tryScript(script)
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
	installWithSystemd(t, h)
	labtest.StartSystemd(t, h)
	n := node{t, h}
	n.mustRun("systemd-analyze verify --man=no vxland.socket vxland.service")
	return n
}

// With the packaged units under a real systemd, the first container starts the agent. It is
// restarted when it is killed, exits when it is stopped, and logs to the journal.
func TestSystemdStartsAndRestartsAgent(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a, b := startNode(t, l.Hosts()[0]), l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, b, "cb", "--network net")
	if out := a.mustRun("systemctl is-active vxland.socket vxland.service || true"); out != "inactive\ninactive" {
		t.Errorf("before the first container: %s", out)
	}
	a.runContainer("ca")
	a.mustRun(resolvesName("ca", "ca.dns.podman"))
	a.succeedsWithin(2*time.Second, "podman exec ca ping -c1 -W1 cb")
	a.mustRun("systemctl is-active vxland.socket vxland.service; ! pgrep -x vxland-keeper; test ! -e /run/vxlan/vxland.log")
	a.mustRun("journalctl -u vxland --no-pager | grep 'vxland started'")
	// It reaches the container's namespace although the unit has a mount namespace of its own.
	a.succeedsWithin(time.Second, arpNotifySet("ca"))
	a.mustRun("! journalctl -u vxland --no-pager | grep 'not announced'")

	// Killed: it is back without any call of Podman.
	a.mustRun("pkill -9 -x vxland")
	t.Log("back after a kill:", a.succeedsWithin(2*time.Second, resolvesName("ca", "ca.dns.podman")))
	a.succeedsWithin(2*time.Second, resolvesName("ca", "cb.dns.podman"))
	if out := a.mustRun("systemctl show -p NRestarts --value vxland"); out != "1" {
		t.Errorf("%s restarts", out)
	}

	// Stopped on purpose: nothing is left, and the next container starts it again.
	a.mustRun("systemctl stop vxland.service")
	if out := a.mustRun("systemctl show -p Result,ActiveState vxland"); !strings.Contains(out, "Result=success") || !strings.Contains(out, "ActiveState=inactive") {
		t.Errorf("after stop: %s", out)
	}
	a.mustRun("sleep 1; ! pgrep -x vxland; podman exec ca ping -c1 -W1 " + labtest.Address(t, b, "cb", "net"))
	a.runContainer("ca2")
	a.mustRun(resolvesName("ca2", "ca.dns.podman"))
	// With no container left it stays: the administrator starts and stops services.
	a.mustRun("podman rm -f -t0 ca ca2; sleep 6; systemctl is-active vxland.service")
}

// An agent of systemd's starts anew in place: systemd sees the same process. It does so also
// without the socket that systemd made.
func TestSystemdAgentRestarts(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a, b := startNode(t, l.Hosts()[0]), l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, b, "cb", "--network net")
	a.runContainer("ca")
	a.succeedsWithin(2*time.Second, resolvesName("ca", "cb.dns.podman"))
	pid := a.mustRun("systemctl show -p MainPID --value vxland")
	a.mustRun(`mkdir -p /etc/vxlan; echo 'log_level = "debug"' >/etc/vxlan/vxland.toml; vxlanctl reload; ! vxlanctl status | grep VX0703`)
	a.mustRun("cp /usr/local/libexec/vxlan/vxland /tmp/vxland; mv /tmp/vxland /usr/local/libexec/vxlan/vxland; vxlanctl status | grep 'program was replaced'; vxlanctl reload")
	a.succeedsWithin(2*time.Second, resolvesName("ca", "cb.dns.podman"))
	if now := a.mustRun("systemctl show -p MainPID --value vxland; systemctl show -p NRestarts --value vxland"); now != pid+"\n0" {
		t.Errorf("main process %s, then %s", pid, now)
	}
	a.mustRun("test $(pgrep -cx vxland) = 1; systemctl is-active vxland.socket vxland.service")

	a.mustRun(removeFiles)
	a.succeedsWithin(2*time.Second, "test -S /run/vxlan/vxland.sock")
	a.runContainer("ca2")
	a.succeedsWithin(2*time.Second, resolvesName("ca2", "cb.dns.podman"))
	a.succeedsWithin(2*time.Second, "test $(pgrep -cx vxland) = 1; vxlanctl status | grep -E 'host-b +198.18.0.12 +reachable'")
	a.mustRun("pkill -9 -x vxland")
	a.succeedsWithin(3*time.Second, resolvesName("ca2", "cb.dns.podman"))
	a.succeedsWithin(2*time.Second, "test $(pgrep -cx vxland) = 1; vxlanctl status | grep -E 'host-b +198.18.0.12 +reachable'")

	// Stopped, both of its units: reload starts what containers need.
	a.mustRun("podman restart -t0 ca; systemctl stop vxland.socket vxland.service; vxlanctl status | grep 'what to do: vxlanctl reload'; vxlanctl reload")
	a.succeedsWithin(2*time.Second, resolvesName("ca2", "cb.dns.podman"))
	a.mustRun("systemctl is-active vxland.socket vxland.service")
}

// With a wrong configuration the unit does not start, and its log names every problem.
func TestSystemdDoesNotRestartMisconfiguredAgent(t *testing.T) {
	t.Parallel()
	l := startLab(t, 2)
	a, b := startNode(t, l.Hosts()[0]), l.Hosts()[1]
	labtest.CreateNetwork(t, l, "net", "--opt vni=100 --subnet 10.0.0.0/24")
	runWebServer(t, b, "cb", "--network net")
	a.mustRun(`mkdir -p /etc/vxlan; printf 'prot = 1\nbind = "0.0.0.0"\nseeds = ["here"]\nkey_file = "/nowhere"\n' >/etc/vxlan/vxland.toml`)
	out := a.mustFail("/usr/local/libexec/vxlan/vxland --check-config")
	for _, want := range []string{"/etc/vxlan/vxland.toml", "prot: is unknown", "bind", "seeds", "key_file"} {
		if !strings.Contains(out, want) {
			t.Errorf("--check-config does not name %s:\n%s", want, out)
		}
	}
	a.mustFail("systemctl start vxland.service")
	if out := a.mustRun("podman run -d --name bad --network net localhost/web"); !strings.Contains(out, "no container names") || !strings.Contains(out, "journalctl -u vxland") {
		t.Errorf("podman run says %s", out)
	}
	a.mustRun("journalctl -u vxland --no-pager | grep 'prot: is unknown'")
	// With the configuration corrected, the next container has names, whatever the state of the
	// unit.
	a.mustRun("rm /etc/vxlan/vxland.toml; podman rm -f -t0 bad")
	a.runContainer("good")
	a.succeedsWithin(2*time.Second, "podman exec good ping -c1 -W1 cb")
}
