package packagetest

import (
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
	labtest.StartBareHost(t, h)
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
	return labtest.PutFile(t, h, labtest.MakeDeb(t, version))
}

// listSystemFiles lists what a package and its scripts can leave on a host.
func listSystemFiles(n node) string {
	n.Helper()
	return labtest.ListSystemFiles(n, n.host)
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
