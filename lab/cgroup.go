package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cgroup is the directory of a control group in the cgroup2 hierarchy. By it all processes of a lab
// are found: a process stays in its cgroup when it forks, changes its session or loses its parent.
type cgroup string

// cgroupRoot finds where the cgroup2 hierarchy is mounted: /sys/fs/cgroup as a rule,
// /sys/fs/cgroup/unified beside cgroup1.
func cgroupRoot() (cgroup, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		// ID PARENT DEV ROOT MOUNTPOINT OPTIONS … - TYPE SOURCE SUPEROPTIONS
		// (proc_pid_mountinfo(5))
		before, after, found := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if found && strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			return cgroup(fields[4]), nil
		}
	}
	return "", &MissingError{What: "a mounted cgroup2 hierarchy"}
}

// labCgroup returns the cgroup of all processes of a lab.
func labCgroup(name string) (cgroup, error) {
	root, err := cgroupRoot()
	return root.childGroup("vxlan-lab-" + name), err
}

func (c cgroup) childGroup(name string) cgroup { return cgroup(filepath.Join(string(c), name)) }

func (c cgroup) controlFile(name string) string { return filepath.Join(string(c), name) }

// makeDir creates the cgroup.
func (c cgroup) makeDir() error {
	if err := os.Mkdir(string(c), 0o755); err != nil {
		return fmt.Errorf("create cgroup: %w", err)
	}
	// Without cgroup.kill (Linux 5.14) the lab could leave processes behind.
	if _, err := os.Stat(c.controlFile("cgroup.kill")); err != nil {
		return errors.Join(&MissingError{What: "Linux 5.14 or later (cgroup.kill)"}, os.Remove(string(c)))
	}
	return nil
}

// shareControllers passes the cgroup's controllers on to its children. From then on no process may
// be in the cgroup itself.
func (c cgroup) shareControllers() {
	controllers, _ := os.ReadFile(c.controlFile("cgroup.controllers"))
	for _, name := range strings.Fields(string(controllers)) {
		// Podman works without a controller that cannot be passed on, since the lab sets no limits.
		_ = os.WriteFile(c.controlFile("cgroup.subtree_control"), []byte("+"+name), 0)
	}
}

// openDir returns a descriptor with which a process can be started inside the cgroup.
func (c cgroup) openDir() (*os.File, error) { return os.Open(string(c)) }

// childGroups lists the cgroups directly below; none if the cgroup does not exist.
func (c cgroup) childGroups() []cgroup {
	entries, _ := os.ReadDir(string(c))
	var found []cgroup
	for _, entry := range entries {
		if entry.IsDir() {
			found = append(found, c.childGroup(entry.Name()))
		}
	}
	return found
}

// hasProcesses tells whether a live process is in the cgroup or below it.
func (c cgroup) hasProcesses() bool {
	events, _ := os.ReadFile(c.controlFile("cgroup.events"))
	return slices.Contains(strings.Split(string(events), "\n"), "populated 1")
}

// killProcesses sends SIGKILL to every process in the cgroup and below it, including those being
// forked.
func (c cgroup) killProcesses() error {
	if err := os.WriteFile(c.controlFile("cgroup.kill"), []byte("1"), 0); err != nil {
		return fmt.Errorf("kill processes of cgroup %s: %w", c, err)
	}
	return nil
}

// killAndRemove kills every process in the cgroup and below it, waits until the last is gone, and
// removes the cgroups. A cgroup that does not exist is no error.
func (c cgroup) killAndRemove(ctx context.Context) error {
	if err := c.killProcesses(); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := pollUntil(ctx, func() bool { return !c.hasProcesses() }); err != nil {
		return fmt.Errorf("wait for processes of cgroup %s to die: %w", c, err)
	}
	return c.removeEmpty()
}

// removeEmpty removes the cgroup and those below it, the deepest first.
func (c cgroup) removeEmpty() error {
	for _, child := range c.childGroups() {
		if err := child.removeEmpty(); err != nil {
			return err
		}
	}
	if err := os.Remove(string(c)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	return nil
}

// pollUntil waits until done holds, and checks every two milliseconds. What the lab waits for takes
// some tens of them.
func pollUntil(ctx context.Context, done func() bool) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
