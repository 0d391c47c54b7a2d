package driver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// keepSysctls writes the bridge's parameters where systemd-udevd and `sysctl
// --system` read them: the former sets a device's when it appears, at about the time when the driver does, and
// the latter all anew. It comes before the device.
func (d *Driver) keepSysctls(bridge kernel.Link) error {
	if d.SysctlDir == "" {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", bridge.Alias)
	for _, s := range bridge.Sysctls {
		// The leading "-" tolerates a device that is gone (sysctl.d(5)).
		fmt.Fprintf(&b, "-%s = %s\n", s.Key, s.Value)
	}
	path := d.sysctlFile(bridge.Name)
	if have, err := os.ReadFile(path); err == nil && string(have) == b.String() {
		return nil
	}
	err := os.MkdirAll(d.SysctlDir, 0o755)
	if err == nil {
		err = os.WriteFile(path, []byte(b.String()), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep sysctls of %s: %w", bridge.Name, err)
	}
	return nil
}

func (d *Driver) dropSysctls(id network.Identity) error {
	if d.SysctlDir == "" {
		return nil
	}
	err := os.Remove(d.sysctlFile(id.Bridge.Name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove sysctls: %w", err)
	}
	return nil
}

// sysctlFile sorts behind what administrators and distributions have: the last one
// that names a parameter counts.
func (d *Driver) sysctlFile(bridge string) string {
	return filepath.Join(d.SysctlDir, "zz-vxlan-driver-"+bridge+".conf")
}
