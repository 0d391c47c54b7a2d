package survey

import (
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/doctor"
)

// stateDir is where the agent keeps what outlasts a boot (package hostid).
const stateDir = "/var/lib/vxlan"

// dirs finds out whether the driver can write its records. A directory that is not there is made when
// it is needed.
func (c *collector) dirs() {
	for _, path := range []string{c.on.Host.StoreDir, stateDir} {
		var s unix.Statfs_t
		if unix.Statfs(path, &s) != nil {
			continue
		}
		d := doctor.Dir{
			Path: path, MountedAt: path, ReadOnly: s.Flags&unix.ST_RDONLY != 0,
			Free: s.Bavail * uint64(s.Bsize), NoFiles: s.Files > 0 && s.Ffree == 0,
		}
		if out, err := c.run("findmnt", "-no", "TARGET", "-T", path); err == nil && strings.TrimSpace(out) != "" {
			d.MountedAt = strings.TrimSpace(out)
		}
		c.Dirs = append(c.Dirs, d)
	}
}
