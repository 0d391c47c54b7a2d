package survey

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A program that is there and cannot be executed is told from one that is not there.
func TestFindProgram(t *testing.T) {
	dir := t.TempDir()
	absent, plain, good := filepath.Join(dir, "absent"), filepath.Join(dir, "plain"), filepath.Join(dir, "good")
	for path, mode := range map[string]os.FileMode{plain: 0o644, good: 0o755} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if path, o := findProgram([]string{absent}); path != "" || o.Path != "" {
		t.Errorf("absent: %s, %+v", path, o)
	}
	if path, o := findProgram([]string{absent, plain, good}); path != good || o.Path != "" {
		t.Errorf("good: %s, %+v", path, o)
	}
	if path, o := findProgram([]string{plain}); path != "" || o.Mend != "chmod 755 "+plain {
		t.Errorf("not executable: %s, %+v", path, o)
	}
}

// On a mount with the option noexec nothing can be executed, whatever the mode.
func TestFindProgramOnNoexecMount(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Skip("mounting needs root:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	path := filepath.Join(dir, "vxlan")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	found, o := findProgram([]string{path})
	if found != "" || o.Mend != "mount -o remount,bind,exec "+dir || !strings.Contains(o.Why, "noexec") {
		t.Errorf("%s, %+v", found, o)
	}
}
