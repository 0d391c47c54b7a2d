package docstest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The page about installing names each file that `make install` makes, and its commands to
// uninstall remove all of them.
func TestUninstallRemovesWhatInstallMakes(t *testing.T) {
	stage := t.TempDir()
	if out, err := exec.Command("make", "-C", "../..", "install", "DESTDIR="+stage).CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	page, err := os.ReadFile("../../docs/user/install.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range listFiles(t, stage) {
		if !strings.Contains(string(page), "`"+path+"`") && !strings.Contains(string(page), "`"+filepath.Base(path)+"`") {
			t.Errorf("install.md does not name %s", path)
		}
	}
	removed := false
	for _, b := range readBlocks(string(page)) {
		if b.section != "Uninstall" || !strings.HasPrefix(b.script, "rm ") {
			continue
		}
		var script strings.Builder
		for line := range strings.Lines(b.script) {
			if !strings.HasPrefix(line, "systemctl ") {
				script.WriteString(strings.ReplaceAll(line, " /", " "+stage+"/"))
			}
		}
		if out, err := exec.Command("sh", "-euc", script.String()).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		removed = true
	}
	if left := listFiles(t, stage); !removed || len(left) > 0 {
		t.Errorf("after uninstalling (done: %v) there are %v", removed, left)
	}
}

// listFiles returns the paths of all files below a directory, as they are on a host.
func listFiles(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, strings.TrimPrefix(path, dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}
