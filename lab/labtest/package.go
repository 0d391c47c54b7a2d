package labtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"vxlan-driver/lab"
)

// MakeDeb builds the Debian package of a version from the tree, for this machine, and returns where
// it is. Nothing else is in that directory.
func MakeDeb(t testing.TB, version string) string {
	t.Helper()
	return MakePackage(t, "deb", version)
}

// MakePackage does the same for deb or rpm.
func MakePackage(t testing.TB, format, version string) string {
	t.Helper()
	out := t.TempDir()
	packages := exec.Command("make", "-C", "../..", "packages", "PACKAGES="+out, "VERSION="+version, "ARCHS="+runtime.GOARCH, "FORMATS="+format)
	if said, err := packages.CombinedOutput(); err != nil {
		t.Fatalf("make packages: %v\n%s", err, said)
	}
	made, err := filepath.Glob(filepath.Join(out, "*."+format))
	if err != nil || len(made) != 1 {
		t.Fatalf("made %v: %v", made, err)
	}
	return made[0]
}

// PutFile copies a file of this machine to root's home directory on a host, and returns where it is
// there.
func PutFile(t testing.TB, h *lab.Host, file string) string {
	t.Helper()
	path := filepath.Join("/root", filepath.Base(file))
	data, err := os.ReadFile(file)
	if err == nil {
		err = h.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// StartBareHost starts systemd on a host, and takes off what the lab has installed of the driver. A package brings a
// configuration.
func StartBareHost(t testing.TB, h *lab.Host) {
	t.Helper()
	Sh(t, h, "rm -f /usr/local/bin/vxlan* /usr/local/libexec/netavark/vxlan; rmdir /usr/local/libexec/netavark")
	RemoveConfig(t, h)
	StartSystemd(t, h)
}

// ListSystemFiles lists what a package and its scripts can leave on a host.
func ListSystemFiles(t testing.TB, h *lab.Host) string {
	t.Helper()
	return Sh(t, h, `find /usr /etc /var/lib -xdev ! -path '/var/lib/containers*' ! -path '/var/lib/dpkg*' ! -path '/var/lib/apt*' \
		! -path '/var/lib/cni*' ! -path '/etc/containers*' ! -path '/var/lib/systemd/*' ! -path '*/__pycache__*' | sort`) + "\n"
}
