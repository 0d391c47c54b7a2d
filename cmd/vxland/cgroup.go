package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ownCgroup is the name of the control group that is made where the topmost one may have no
// processes.
const ownCgroup = "vxland"

// leaveCgroups moves this process into the topmost control group of each hierarchy. The plugin, and
// so its children, are in the group of whoever started the container: a unit or a user's session.
// When that is stopped, systemd kills all processes of the group. Its limits would hold too.
func leaveCgroups() error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, h := range parseCgroupMounts(string(mounts)) {
		_ = h.moveToTop() // what is left says whether it worked
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	if left := foreignCgroups(string(groups)); len(left) > 0 {
		return fmt.Errorf("leave control group %s: whoever stops it ends the agent", strings.Join(left, ", "))
	}
	return nil
}

// hierarchy is a mounted hierarchy of control groups.
type hierarchy struct {
	dir string
	v2  bool
}

// parseCgroupMounts returns the hierarchies that a mountinfo file lists from their tops.
func parseCgroupMounts(mountinfo string) (found []hierarchy) {
	for line := range strings.Lines(mountinfo) {
		// ID PARENT DEV ROOT MOUNTPOINT OPTIONS … - TYPE SOURCE SUPEROPTIONS (proc_pid_mountinfo(5))
		mount, fs, _ := strings.Cut(line, " - ")
		fields := strings.Fields(mount)
		fsType, _, _ := strings.Cut(fs, " ")
		if len(fields) > 4 && fields[3] == "/" && (fsType == "cgroup" || fsType == "cgroup2") {
			found = append(found, hierarchy{fields[4], fsType == "cgroup2"})
		}
	}
	return found
}

// moveToTop moves this process. In the second version of control groups a group has either
// processes or children with controllers, unless it is the machine's topmost one. A host that is a
// container sees another one, in which the agent would keep Podman from limiting containers.
func (h hierarchy) moveToTop() error {
	if !h.v2 || h.isMachines() {
		return enterCgroup(h.dir)
	}
	own := filepath.Join(h.dir, ownCgroup)
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return enterCgroup(own)
}

// isMachines tells whether the top of a hierarchy is the machine's. That one has no type.
func (h hierarchy) isMachines() bool {
	_, err := os.Stat(filepath.Join(h.dir, "cgroup.type"))
	return errors.Is(err, os.ErrNotExist)
}

// enterCgroup moves this process into a control group.
func enterCgroup(dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0)
}

// foreignCgroups returns the paths of a /proc/PID/cgroup that are not where moveToTop leads.
func foreignCgroups(groups string) (left []string) {
	for line := range strings.Lines(groups) {
		// ID:CONTROLLERS:PATH (cgroups(7))
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && parts[2] != "/" && parts[2] != "/"+ownCgroup {
			left = append(left, parts[2])
		}
	}
	return left
}
