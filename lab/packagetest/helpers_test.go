package packagetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"vxlan-driver/lab"
	"vxlan-driver/lab/labtest"
)

// node is a host on which systemd runs, and on which nothing of the driver is installed.
type node struct {
	*testing.T
	host *lab.Host
}

// startNode starts systemd on a host, and takes off what the lab has installed.
func startNode(t *testing.T, h *lab.Host) node {
	t.Helper()
	labtest.Sh(t, h, "rm -f /usr/local/bin/vxlan* /usr/local/libexec/netavark/vxlan; rmdir /usr/local/libexec/netavark")
	labtest.StartSystemd(t, h)
	return node{t, h}
}

// mustRun runs a script that must succeed where systemd answers, and returns what it prints.
func (n node) mustRun(script string) string {
	n.Helper()
	out, err := labtest.TryBySystemd(n, n.host, script)
	if err != nil {
		n.Fatal(err, out)
	}
	return out
}

// mustFail runs a script that must fail.
func (n node) mustFail(script string) string {
	n.Helper()
	out, err := labtest.TryBySystemd(n, n.host, script)
	if err == nil {
		n.Fatalf("%s succeeded: %s", script, out)
	}
	return out
}

// succeedsWithin repeats a script until it succeeds.
func (n node) succeedsWithin(limit time.Duration, script string) {
	n.Helper()
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		out, err := labtest.TryBySystemd(n, n.host, script)
		if err == nil {
			return
		}
		if time.Since(began) > limit {
			n.Fatalf("not within %v: %s: %v: %s", limit, script, err, out)
		}
	}
}

// makeDeb builds the Debian package of a version for this machine, puts it on a host, and returns
// where it is.
func makeDeb(t *testing.T, h *lab.Host, version string) string {
	t.Helper()
	out := t.TempDir()
	packages := exec.Command("make", "-C", "../..", "packages", "PACKAGES="+out, "VERSION="+version, "ARCHS="+runtime.GOARCH, "FORMATS=deb")
	if said, err := packages.CombinedOutput(); err != nil {
		t.Fatalf("make packages: %v\n%s", err, said)
	}
	made, err := filepath.Glob(filepath.Join(out, "*.deb"))
	if err != nil || len(made) != 1 {
		t.Fatalf("made %v: %v", made, err)
	}
	data, err := os.ReadFile(made[0])
	if err != nil {
		t.Fatal(err)
	}
	path := "/root/" + filepath.Base(made[0])
	if err := h.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// listSystemFiles lists what a package and its scripts can leave on a host.
func listSystemFiles(n node) string {
	n.Helper()
	return n.mustRun(`find /usr /etc /var/lib -xdev ! -path '/var/lib/containers*' ! -path '/var/lib/dpkg*' ! -path '/var/lib/cni*' ! -path '/etc/containers*' \
		! -path '/var/lib/systemd/*' ! -path '*/__pycache__*' | sort`) + "\n"
}

// wantParts checks what a text has.
func wantParts(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in\n%s", part, text)
		}
	}
}
