package wireguard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel/netns"
)

// Argument tells a program that is to be a device's process: it comes before the device's name.
const Argument = "--wireguard"

// unitTemplate is the systemd unit of such processes.
const unitTemplate = "vxland-wireguard@.service"

// unitDirs are the directories of units that administrators and packages install (systemd.unit(5)).
var unitDirs = []string{
	"/etc/systemd/system", "/run/systemd/system",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
}

// Launcher starts wireguard-go's processes.
type Launcher struct {
	Program   string // path of vxland
	Systemd   bool   // systemd runs on this host
	Namespace string // as Host has it; with one, systemd is not asked
	Log       *os.File
}

// Start starts a device's process, and returns when it can be told keys. If systemd knows the template, it
// is a unit of its own. Then neither the agent's end nor a restart of its unit ends it, and it has fewer
// rights than the agent. Otherwise it gets a session of its own.
func (l Launcher) Start(ctx context.Context, device string) error {
	if l.Systemd && l.Namespace == "" && isUnitInstalled() {
		return l.startUnit(ctx, device)
	}
	return l.spawn(ctx, device)
}

func isUnitInstalled() bool {
	for _, dir := range unitDirs {
		if _, err := os.Stat(filepath.Join(dir, unitTemplate)); err == nil {
			return true
		}
	}
	return false
}

// startUnit restarts the unit: one whose socket somebody has removed still runs.
func (l Launcher) startUnit(ctx context.Context, device string) error {
	unit := strings.Replace(unitTemplate, "@", "@"+device, 1)
	out, err := exec.CommandContext(ctx, "/usr/bin/systemctl", "restart", unit).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl restart %s: %w: %s; see `journalctl -u %[1]s`",
			unit, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// spawn starts a process that goes on when this one ends, and waits until it can be told keys.
func (l Launcher) spawn(ctx context.Context, device string) error {
	cmd := exec.Command(l.Program, Argument, device)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = l.Log, l.Log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := netns.DoIn(l.Namespace, cmd.Start); err != nil {
		return err
	}
	pid := cmd.Process.Pid
	children.add(pid)
	exited := make(chan error, 1)
	go func() {
		exited <- cmd.Wait()
		children.remove(pid)
	}()
	for !answers(device, pid) {
		select {
		case err := <-exited:
			return fmt.Errorf("it ended at once: %w; the agent's log says why", cmp.Or(err, errors.New("exit status 0")))
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", ctx.Err())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// answers tells whether a process listens on the device's socket.
func answers(device string, pid int) bool {
	conn, err := dial(device)
	if err != nil {
		return false
	}
	defer conn.Close()
	listener, err := listenerPID(conn)
	return err == nil && listener == pid
}

// children are the processes that this program has started since it began. Others it has from before it
// started anew in place.
var children pidSet

type pidSet struct {
	mu   sync.Mutex
	pids map[int]bool
}

func (s *pidSet) add(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pids == nil {
		s.pids = make(map[int]bool)
	}
	s.pids[pid] = true
}

func (s *pidSet) remove(pid int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pids, pid)
}

func (s *pidSet) has(pid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pids[pid]
}

// reapInherited waits for a process's exit, if it is a child of the agent from before that started anew in
// place: nobody else would, and it would stay a zombie.
func reapInherited(pid int) {
	if children.has(pid) {
		return // spawn waits for it
	}
	for {
		_, err := unix.Wait4(pid, nil, 0, nil)
		if !errors.Is(err, syscall.EINTR) {
			return // ECHILD: it is no child
		}
	}
}
