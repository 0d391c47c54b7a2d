package labtest

import (
	"os"
	"testing"

	"vxlan-driver/lab"
)

// UsesPrograms tells whether agents use eBPF programs: unless VXLAN_EBPF is "false", so that all suites can
// be run both ways. A test that writes an agent's configuration adds the setting itself.
func UsesPrograms() bool { return os.Getenv("VXLAN_EBPF") != "false" }

// RemoveConfig takes off the configuration that says so, for tests of what makes one itself. There agents use programs
// in any case.
func RemoveConfig(t testing.TB, h *lab.Host) {
	t.Helper()
	Sh(t, h, "rm -rf /etc/vxlan")
}

// MountBPF is a script that mounts the BPF file system, as systemd does.
const MountBPF = `mountpoint -q /sys/fs/bpf || mount -t bpf bpf /sys/fs/bpf`

// PinLeftover is a script that pins what an agent leaves that was killed, or one of another version.
const PinLeftover = `mkdir -p /sys/fs/bpf/vxlan-driver/netns-9/2/networks`

// NothingPinned is a script that fails if something of the driver is pinned.
const NothingPinned = `test ! -e /sys/fs/bpf/vxlan-driver`
