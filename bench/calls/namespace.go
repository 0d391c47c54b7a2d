package calls

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// makeNamespace makes a network namespace that has a name, as `ip netns add` does, and returns its
// path.
func makeNamespace(name string) (string, error) {
	const dir = "/run/netns"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := dir + "/" + name
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		return "", err
	}
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine rather than run another one in a
		// foreign namespace.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, "")
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return "", fmt.Errorf("make network namespace %s: %w", name, err)
	}
	return path, nil
}
