package vxlandriver

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// How the Makefile sets the version, and the directory of the installation.
const (
	linkVersion = "-X vxlan-driver/internal/version.linked="
	linkPrefix  = "-X vxlan-driver/internal/installed.prefix="
)

func TestProgramsPrintWhatIsLinked(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(makefile), linkVersion) {
		t.Errorf("the Makefile does not set the version by %q", linkVersion)
	}
	dir := t.TempDir()
	const flags = "-s -w " + linkVersion + "v9.8.7-test " + linkPrefix + "/opt/v"
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", flags, "-o", dir+"/", "./cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for command, want := range map[string]string{
		"vxlan --version":    "vxlan v9.8.7-test\n",
		"vxland --version":   "vxland v9.8.7-test\n",
		"vxlanctl --version": "vxlanctl v9.8.7-test\n",
		"vxlan info":         `{"api_version":"1.0.0","version":"v9.8.7-test"}`,
	} {
		program, arg, _ := strings.Cut(command, " ")
		out, err := exec.Command(filepath.Join(dir, program), arg).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s: got %q, %v, want %q", command, out, err, want)
		}
	}
	const pages = "/opt/v/share/doc/vxlan-driver/docs/user/"
	for command, want := range map[string]string{
		"vxlanctl --help": "are in " + pages, "vxlanctl explain VX0104": "see " + pages + "install.md",
		"vxlanctl network set --help": "see\n" + pages + "hosts.md", "vxlan --help": "as /opt/v/libexec/netavark/vxlan",
	} {
		args := strings.Fields(command)
		out, err := exec.Command(filepath.Join(dir, args[0]), args[1:]...).CombinedOutput()
		if err != nil || !strings.Contains(strings.ReplaceAll(string(out), "\n    ", " "), want) {
			t.Errorf("%s: got %q, %v, want %q in it", command, out, err, want)
		}
	}
}
