package watch

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The name is changed in a UTS namespace, which the test enters by running itself once more.
func TestHostName(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for a namespace with a host name of its own")
	}
	const variable = "WATCH_TEST_HOSTNAME"
	if os.Getenv(variable) == "" {
		cmd := exec.Command("unshare", "--uts", os.Args[0], "-test.run=^TestHostName$")
		cmd.Env = append(os.Environ(), variable+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	changes, err := HostName(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"first", "second"} {
		if err := unix.Sethostname([]byte(name)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-changes:
		case <-time.After(5 * time.Second):
			t.Fatalf("no event for %s", name)
		}
	}
}
