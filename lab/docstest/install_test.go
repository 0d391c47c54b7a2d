package docstest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The page about installing names each file that `make install` makes, and `make uninstall` removes
// all of them.
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
		if !isNamed(string(page), path) {
			t.Errorf("install.md does not name %s", path)
		}
	}
	if out, err := exec.Command("make", "-C", "../..", "uninstall", "DESTDIR="+stage).CombinedOutput(); err != nil {
		t.Fatalf("make uninstall: %v\n%s", err, out)
	}
	if left := listFiles(t, stage); len(left) > 0 {
		t.Errorf("after uninstalling there are %v", left)
	}
	documented := slices.ContainsFunc(readBlocks(string(page)), func(b block) bool {
		return b.section == "Uninstall" && b.script == "make uninstall\n"
	})
	if !documented {
		t.Error("install.md does not say how to uninstall")
	}
}

// isNamed tells whether a page names a file: its path, its name, or a directory that it is below.
func isNamed(page, path string) bool {
	if strings.Contains(page, "`"+path+"`") || strings.Contains(page, "`"+filepath.Base(path)+"`") {
		return true
	}
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		if strings.Contains(page, "`"+dir+"/`") {
			return true
		}
	}
	return false
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
