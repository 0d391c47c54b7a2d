package netnstest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
)

// New makes a network namespace and returns a path to it, which other processes of this user can
// open too while the test runs. Nothing is in it but the loopback device, which is down.
//
// The path leads through this process's open file, not through a mount: so the kernel removes the
// namespace with the last process that uses it, even if the test is killed. Without the right to
// make one the test is skipped, or fails where the environment says CI=true.
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

// WaitForPorts waits until all ports of the bridges in the namespace at a path forward, and the
// bridges pass packets. A bridge hears of a carrier later, on a busy machine by up to a second. Until
// then it drops what comes, and refuses entries such as it learns.
func WaitForPorts(t testing.TB, path string) {
	t.Helper()
	Shell(t, path)(`for i in $(seq 500); do
			all=$(bridge -oneline link; ip -oneline link show type bridge)
			echo "$all" | grep -Eqv 'state (forwarding|UP)' || exit 0
			sleep 0.01
		done
		echo "$all"; exit 1`)
}

// WaitForAddrs waits until the namespace at a path takes packets for the IPv6 addresses that were
// added with nodad. `ip address add` returns before: the kernel makes an address's local route from
// a work queue, on a busy machine 100 ms later. A packet that comes in between is dropped, which
// costs a second until it is sent again. (rtnl.Conn waits by itself.)
func WaitForAddrs(t testing.TB, path string) {
	t.Helper()
	var lacking []string
	for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(time.Millisecond) {
		err := netns.Do(path, func() (err error) {
			lacking, err = addrsWithoutRoute()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(lacking) == 0 {
			return
		}
	}
	t.Fatalf("no local route for %v", lacking)
}

// addrsWithoutRoute returns those of the caller's namespace.
func addrsWithoutRoute() (lacking []string, err error) {
	addrs, err := readTable("if_inet6") // address, ifindex, prefix length, scope, flags, device
	if err != nil {
		return nil, err
	}
	// Destination, prefix length, source, its prefix length, next hop, metric, references, use,
	// flags, device.
	routes, err := readTable("ipv6_route")
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		isLocal := func(r []string) bool { return r[0] == a[0] && r[9] == a[5] && hasFlag(r[8], unix.RTF_LOCAL) }
		if hasFlag(a[4], unix.IFA_F_NODAD) && !slices.ContainsFunc(routes, isLocal) {
			lacking = append(lacking, a[0])
		}
	}
	return lacking, nil
}

func hasFlag(flags string, flag uint64) bool {
	n, err := strconv.ParseUint(flags, 16, 32)
	return err == nil && n&flag != 0
}

// readTable returns the fields of each line of a file in /proc/net. Without IPv6 its files are not
// there.
func readTable(name string) (lines [][]string, err error) {
	data, err := os.ReadFile("/proc/thread-self/net/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range strings.Lines(string(data)) {
		lines = append(lines, strings.Fields(line))
	}
	return lines, err
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
