package survey

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"vxlan-driver/internal/regfile"
)

// freezers are how control groups tell that they are frozen (cgroups(7)), by how /proc/PID/cgroup names the
// group: of version 2, and of the controller freezer of version 1.
var freezers = []struct {
	group, file, frozen string
	roots               []string
}{
	{"0::", "cgroup.freeze", "1", []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}},
	{":freezer:", "freezer.state", "FROZEN", []string{"/sys/fs/cgroup/freezer"}},
}

// freezerOf returns the file by which a control group, of a process or above it, is frozen; "": none is.
func freezerOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "" // it has ended
	}
	for _, f := range freezers {
		_, rest, found := strings.Cut(lineWith(string(text), f.group), f.group)
		for dir := rest; found && dir != "/" && dir != "." && dir != ""; dir = filepath.Dir(dir) {
			for _, root := range f.roots {
				path := filepath.Join(root, dir, f.file)
				if state, err := regfile.ReadText(path); err == nil && strings.TrimSpace(string(state)) == f.frozen {
					return path
				}
			}
		}
	}
	return ""
}
