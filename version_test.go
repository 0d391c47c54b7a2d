package vxlandriver

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// linkVersion is how the Makefile sets the version.
const linkVersion = "-X vxlan-driver/internal/version.linked="

func TestProgramsPrintTheLinkedVersion(t *testing.T) {
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(makefile), linkVersion) {
		t.Errorf("the Makefile does not set the version by %q", linkVersion)
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-ldflags", "-s -w "+linkVersion+"v9.8.7-test", "-o", dir+"/", "./cmd/...")
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
}
