package packet

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// In runs f on a thread in the network namespace at path. A socket opened by f stays in that
// namespace. In refuses the calling process's own namespace: a forged packet must not get onto the
// machine's network.
func In(path string, f func() error) error {
	done := make(chan error)
	go func() {
		// Never unlocked, so that the thread ends with the goroutine and no other one runs in that
		// namespace.
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread does not end, and /proc/self shows its namespaces for the whole
			// process's. While it is held here, the next goroutine gets another.
			defer runtime.UnlockOSThread()
			done <- In(path, f)
			return
		}
		done <- inNamespace(path, f)
	}()
	return <-done
}

func inNamespace(path string, f func() error) error {
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close()
	if same, err := isOwnNamespace(ns); err != nil || same {
		return errors.Join(err, fmt.Errorf("enter network namespace %s: it is this process's own", path))
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", path, err)
	}
	return f()
}

func isOwnNamespace(ns *os.File) (bool, error) {
	other, err := ns.Stat()
	if err != nil {
		return false, err
	}
	own, err := os.Stat("/proc/self/ns/net")
	return err == nil && os.SameFile(own, other), err
}
