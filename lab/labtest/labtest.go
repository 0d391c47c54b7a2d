// Package labtest starts labs for tests.
package labtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"vxlan-driver/lab"
)

// Start starts a lab that is closed when the test ends. The tree is prepared, and the plugin and
// the agent are built from cmd/vxlan and cmd/vxland unless config names a plugin, once per process.
//
// Where the machine lacks something for a lab (root, a tool that cannot be installed, a recent
// kernel) the test is skipped, naming it; with CI=true it fails.
func Start(t testing.TB, config lab.Config) *lab.Lab {
	t.Helper()
	if config.Tree == (lab.Tree{}) {
		config.Tree = Tree(t)
	}
	if config.Plugin == "" {
		config.Plugin = Plugin(t)
		// As a user installs it: a network has names unless it is created without.
		config.Binaries = append(config.Binaries, Binary(t, "vxland"))
	}
	l, err := lab.Start(t.Context(), config)
	skipOrFail(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			logHosts(t, l)
		}
		if err := l.Close(); err != nil {
			t.Errorf("close lab: %v", err)
		}
	})
	if !UsesPrograms() {
		Each(t, l.Hosts(), func(h *lab.Host) { Sh(t, h, "mkdir -p /etc/vxlan; echo 'ebpf = false' >/etc/vxlan/vxland.toml") })
	}
	return l
}

var tree = sync.OnceValues(func() (lab.Tree, error) {
	// What an earlier run left, because it and its reaper were killed.
	if os.Geteuid() == 0 {
		if err := lab.Sweep(context.Background()); err != nil {
			return lab.Tree{}, err
		}
		if err := StartReaper(); err != nil {
			return lab.Tree{}, err
		}
	}
	return lab.Prepare(context.Background(), "", os.Stderr)
})

// Tree is the tree of the suite that VXLAN_LAB_SUITE names, or of the default one.
func Tree(t testing.TB) lab.Tree {
	t.Helper()
	made, err := tree()
	skipOrFail(t, err)
	return made
}

// Plugin is the path of the plugin, built from cmd/vxlan.
func Plugin(t testing.TB) string {
	t.Helper()
	return Binary(t, "vxlan")
}

var binaries sync.Map // package → func() (string, error)

// Binary builds bin/NAME of this module from cmd/NAME and returns its path.
func Binary(t testing.TB, name string) string {
	t.Helper()
	return buildProgram(t, "./cmd/"+name)
}

// Tool builds bin/NAME of this module from lab/cmd/NAME, a program for tests to run in hosts, and
// returns its path.
func Tool(t testing.TB, name string) string {
	t.Helper()
	return buildProgram(t, "./lab/cmd/"+name)
}

func buildProgram(t testing.TB, pkg string) string {
	t.Helper()
	build, _ := binaries.LoadOrStore(pkg, sync.OnceValues(func() (string, error) { return buildBinary(pkg) }))
	path, err := build.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func buildBinary(pkg string) (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find module: %w", err)
	}
	module := filepath.Dir(strings.TrimSpace(string(out)))
	path := filepath.Join(module, "bin", filepath.Base(pkg))
	// Git refuses a tree of another user. With -trimpath all is compiled already where the Makefile has built the
	// programs.
	cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-o", path, pkg)
	cmd.Dir = module
	// Without C: hosts may have another C library than the machine.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, bytes.TrimSpace(said))
	}
	return path, nil
}

// skipOrFail ends the test on an error: with a skip if the machine is to blame and nobody relies on
// the result.
func skipOrFail(t testing.TB, err error) {
	t.Helper()
	if _, missing := errors.AsType[*lab.MissingError](err); missing && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// logHosts shows how the network of each host looks at the end of a failed test.
func logHosts(t testing.TB, l *lab.Lab) {
	for _, h := range l.Hosts() {
		state, err := h.Sh(context.Background(), "ip -br addr; ip -4 route; bridge fdb show; nft list ruleset; podman ps -a")
		t.Logf("%s after the failure:\n%s\n%v", h.Name(), state, err)
	}
}
