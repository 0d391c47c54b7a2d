package netnstest

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
)

// New makes a network namespace and returns a path to it, which other processes
// of this user can open too while the test runs. Nothing is in it but the
// loopback device, which is down.
//
// The path leads through this process's open file, not through a mount: so the
// kernel removes the namespace with the last process that uses it, even if the
// test is killed. Without the right to make one the test is skipped, or fails
// where the environment says CI=true.
func New(t testing.TB) string {
	t.Helper()
	ns, err := create()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("make a network namespace: %v", err)
		}
		t.Skipf("needs root to make a network namespace: %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.Fd())
}

// Shell runs scripts in the namespace at a path. One that fails fails the test.
func Shell(t testing.TB, path string) func(script string) string {
	return func(script string) string {
		t.Helper()
		var out []byte
		err := netns.Do(path, func() (err error) {
			out, err = exec.Command("sh", "-ec", script).CombinedOutput()
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
		return string(out)
	}
}

// create lets netns.Do put the thread back that unshare(2) moves.
func create() (ns *os.File, err error) {
	err = netns.Do("/proc/self/ns/net", func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		ns, err = netns.Open("/proc/thread-self/ns/net")
		return err
	})
	return ns, err
}
