package rtnl

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// modulesDir has a directory of modules for each kernel that is installed.
const modulesDir = "/lib/modules"

// unsupportedKind says why the running kernel lacks a kind of device, as far as that can be seen,
// and what to do.
func unsupportedKind(kind kernel.Kind) error {
	var u unix.Utsname
	release := "that runs"
	if err := unix.Uname(&u); err == nil {
		release = unix.ByteSliceToString(u.Release[:])
	}
	return fmt.Errorf("%w: kernel %s has no %s devices; %s", kernel.ErrNotSupported, release, kind,
		supportHint(modulesDir, release, kind))
}

func supportHint(dir, release string, kind kernel.Kind) string {
	modules, err := os.ReadFile(filepath.Join(dir, release, "modules.dep"))
	switch {
	case err != nil:
		return "its modules are not installed: reboot, if the kernel was updated since it started"
	case strings.Contains(string(modules), "/"+string(kind)+".ko"):
		return fmt.Sprintf("its module is there but was not loaded; `modprobe %s` says why", kind)
	}
	return "install the package with the rest of its modules " +
		"(Ubuntu: linux-modules-extra-" + release +
		", Raspberry Pi: linux-modules-extra-raspi, Fedora and RHEL: kernel-modules-extra), " +
		"or a kernel that has them"
}
