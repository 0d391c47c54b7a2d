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

// cgroup is the directory of a control group in the cgroup2 hierarchy. It is the handle on a lab's processes: whatever a
// process does, forking, changing its session or losing its parent, it stays in the cgroup in which it was born.
type cgroup string

// cgroupRoot finds where the cgroup2 hierarchy is mounted: /sys/fs/cgroup as a rule, /sys/fs/cgroup/unified beside cgroup1.
func cgroupRoot() (cgroup, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(mounts)) {
		// ID PARENT DEV ROOT MOUNTPOINT OPTIONS … - TYPE SOURCE SUPEROPTIONS (proc_pid_mountinfo(5))
		before, after, found := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if found && strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			return cgroup(fields[4]), nil
		}
	}
	return "", &MissingError{What: "a mounted cgroup2 hierarchy"}
}

// labCgroup is the cgroup of all processes of the lab of that name.
func labCgroup(name string) (cgroup, error) {
	root, err := cgroupRoot()
	return root.child("vxlan-lab-" + name), err
}

func (c cgroup) child(name string) cgroup { return cgroup(filepath.Join(string(c), name)) }

func (c cgroup) file(name string) string { return filepath.Join(string(c), name) }

// create makes the cgroup.
func (c cgroup) create() error {
	if err := os.Mkdir(string(c), 0o755); err != nil {
		return fmt.Errorf("create cgroup: %w", err)
	}
	// cgroup.kill came with Linux 5.14; without it nothing below could promise to leave no process behind.
	if _, err := os.Stat(c.file("cgroup.kill")); err != nil {
		return errors.Join(&MissingError{What: "Linux 5.14 or later (cgroup.kill)"}, os.Remove(string(c)))
	}
	return nil
}

// shareControllers lets the cgroup's children have the controllers that it has. From then on no process may be in the
// cgroup itself.
func (c cgroup) shareControllers() {
	controllers, _ := os.ReadFile(c.file("cgroup.controllers"))
	for _, name := range strings.Fields(string(controllers)) {
		// A controller that cannot be passed on is one that Podman does without: the lab sets no limits.
		_ = os.WriteFile(c.file("cgroup.subtree_control"), []byte("+"+name), 0)
	}
}

// open gives a descriptor with which a process can be started inside the cgroup.
func (c cgroup) open() (*os.File, error) { return os.Open(string(c)) }

// children lists the cgroups right below. None, if the cgroup does not exist.
func (c cgroup) children() []cgroup {
	entries, _ := os.ReadDir(string(c))
	var found []cgroup
	for _, entry := range entries {
		if entry.IsDir() {
			found = append(found, c.child(entry.Name()))
		}
	}
	return found
}

// populated tells whether a live process is left in the cgroup or below it.
func (c cgroup) populated() bool {
	events, _ := os.ReadFile(c.file("cgroup.events"))
	return slices.Contains(strings.Split(string(events), "\n"), "populated 1")
}

// kill sends SIGKILL to every process in the cgroup and below it, none excepted that is being forked at the moment.
func (c cgroup) kill() error {
	if err := os.WriteFile(c.file("cgroup.kill"), []byte("1"), 0); err != nil {
		return fmt.Errorf("kill processes of cgroup %s: %w", c, err)
	}
	return nil
}

// remove kills every process in the cgroup and below it, waits until the last is gone, and removes the cgroups.
// It is no error if there is no such cgroup.
func (c cgroup) remove(ctx context.Context) error {
	if err := c.kill(); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := poll(ctx, func() bool { return !c.populated() }); err != nil {
		return fmt.Errorf("wait for processes of cgroup %s to die: %w", c, err)
	}
	return c.removeEmpty()
}

// removeEmpty removes the cgroup and those below it, the deepest first.
func (c cgroup) removeEmpty() error {
	for _, child := range c.children() {
		if err := child.removeEmpty(); err != nil {
			return err
		}
	}
	if err := os.Remove(string(c)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove cgroup: %w", err)
	}
	return nil
}

// poll waits until done holds. It looks every two milliseconds: what the lab waits for takes some tens of them.
func poll(ctx context.Context, done func() bool) error {
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
