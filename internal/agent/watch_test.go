package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/wireguard/wggotest"
	"vxlan-driver/internal/logtest"

	"golang.org/x/sys/unix"
)

// limitedVar makes the test's own program run runLimitedWatch.
const limitedVar = "VXLAND_TEST_LIMITED_WATCH"

func TestMain(m *testing.M) {
	wggotest.RunIfAsked()
	if dir := os.Getenv(limitedVar); dir != "" {
		if err := runLimitedWatch(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// newPollingWatcher returns a watcher for which there is no inotify instance, and which polls
// often.
func newPollingWatcher(log *slog.Logger) *pathWatcher {
	w := newPathWatcher(log)
	w.pollInterval = 10 * time.Millisecond
	w.openInotify = func() (int, error) { return -1, unix.EMFILE }
	return w
}

// eachWatcher runs a test with inotify and without.
func eachWatcher(t *testing.T, test func(t *testing.T, w *pathWatcher)) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	t.Run("inotify", func(t *testing.T) { test(t, newPathWatcher(log)) })
	t.Run("polling", func(t *testing.T) { test(t, newPollingWatcher(log)) })
}

// waitForChange fails if no change is reported. It takes all that are reported for a moment, since
// one change may be reported twice.
func waitForChange(what string, changes <-chan struct{}) error {
	select {
	case <-changes:
	case <-time.After(5 * time.Second):
		return fmt.Errorf("%s: no event", what)
	}
	for {
		select {
		case <-changes:
		case <-time.After(50 * time.Millisecond):
			return nil
		}
	}
}

func TestStoreChangesAreSeen(t *testing.T) {
	eachWatcher(t, func(t *testing.T, w *pathWatcher) {
		dir := t.TempDir()
		changes, err := w.Store(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range []string{
			"mkdir networks/7c7b", "replace networks/7c7b/network.json x", "mkdir networks/7c7b/endpoints", "replace networks/7c7b/endpoints/1.json x",
			"replace networks/7c7b/endpoints/1.json y", "remove networks/7c7b/endpoints/1.json", "remove networks/7c7b/network.json",
		} {
			changeFiles(t, dir, change)
			if err := waitForChange(change, changes); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestRemovedOwnFilesAreSeen(t *testing.T) {
	eachWatcher(t, func(t *testing.T, w *pathWatcher) {
		dir := filepath.Join(t.TempDir(), "vxlan")
		changeFiles(t, filepath.Dir(dir), "mkdir vxlan; write vxlan/vxland.lock x; write vxlan/vxland.sock x")
		changes := w.OwnFiles(t.Context(), dir)
		for _, change := range []string{"replace vxland.sock y", "remove vxland.lock"} {
			changeFiles(t, dir, change)
			if err := waitForChange(change, changes); err != nil {
				t.Error(err)
			}
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := waitForChange("remove the directory", changes); err != nil {
			t.Error(err)
		}
	})
}

// Containers of root take inotify instances too. The agent goes on without, says so once, and takes
// one when there is one again. The limits are those of a user namespace of its own.
func TestWatchWithoutInotifyInstances(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), limitedVar+"="+t.TempDir())
	id := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: id, GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skip("no user namespace can be made here:", err)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func limitInotify(instances, watches int) error {
	return errors.Join(
		os.WriteFile("/proc/sys/user/max_inotify_instances", fmt.Append(nil, instances), 0),
		os.WriteFile("/proc/sys/user/max_inotify_watches", fmt.Append(nil, watches), 0),
	)
}

// waitForWarning fails if the watcher does not come to warn of what is wanted, of nothing for "". It
// tells of a change before it finds out whether it can watch on.
func waitForWarning(w *pathWatcher, when, want string) error {
	var got string
	for start := time.Now(); time.Since(start) < 5*time.Second; time.Sleep(time.Millisecond) {
		got = strings.Join(w.Warnings(), "\n")
		if (want == "") == (got == "") && strings.Contains(got, want) {
			return nil
		}
	}
	return fmt.Errorf("%s: warnings %q, want %q", when, got, want)
}

// runLimitedWatch watches files while there are no instances, then some, and then no watches.
func runLimitedWatch(dir string) error {
	const instances = "files cannot be watched, so the agent looks at them each second: inotify_init1: too many open files; raise sysctl fs.inotify.max_user_instances"
	const watches = "inotify_add_watch: no space left on device; raise sysctl fs.inotify.max_user_watches"
	var log logtest.Buffer
	w := newPathWatcher(slog.New(slog.NewTextHandler(&log, nil)))
	w.pollInterval, w.retryInterval = 10*time.Millisecond, 200*time.Millisecond
	if err := limitInotify(0, 0); err != nil {
		return err
	}
	changes := w.Watch(context.Background(), storeEvents, func() []string {
		dirs, _ := filepath.Glob(filepath.Join(dir, "*"))
		return append([]string{dir}, dirs...)
	})
	other := w.OwnFiles(context.Background(), dir)
	step := func(name, warning string) error {
		err := errors.Join(os.Mkdir(filepath.Join(dir, name), 0o700), waitForChange(name, changes), waitForChange(name+", the other watch", other))
		return errors.Join(err, waitForWarning(w, name, warning))
	}
	if err := step("polled", instances); err != nil {
		return err
	}
	if err := errors.Join(limitInotify(100, 100), waitForChange("inotify again", changes), waitForChange("the other watch", other)); err != nil {
		return err
	}
	if err := errors.Join(step("watched", ""), limitInotify(100, 4), step("one too many", watches), step("polled-again", watches)); err != nil {
		return err
	}
	for _, text := range []string{instances, watches, "files are watched again"} {
		if n := log.Count(text); n != 1 {
			return fmt.Errorf("%d times %q in the log\n%s", n, text, log.String())
		}
	}
	return nil
}
