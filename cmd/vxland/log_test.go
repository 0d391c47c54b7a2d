package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogIsRotatedAtMaxSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	var files []*os.File
	for range 2 { // the keeper's and the agent's
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	long := strings.Repeat("x", maxLogSize/4)
	write := func(i int, path, text string) {
		t.Helper()
		if n, err := (cappedFile{files[i], path}).Write([]byte(text)); err != nil || n != len(text) {
			t.Fatalf("%d, %v", n, err)
		}
	}
	content := func(path string) string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for range 2 { // the second rotation replaces the first path.old
		for range 4 {
			write(0, path, long)
		}
		write(1, path, "last\n")
		if got := content(path); got != "" {
			t.Errorf("%d bytes are left", len(got))
		}
		if got := content(path + ".old"); got != strings.Repeat(long, 4)+"last\n" {
			t.Errorf("%d bytes were moved to path.old", len(got))
		}
		write(0, path, "fresh\n")
		write(1, path, "fresh\n")
		if got := content(path); got != "fresh\nfresh\n" {
			t.Errorf("got %q", got)
		}
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
	}
	// Any other file is left alone.
	for range 5 {
		write(0, path+"-other", long)
	}
	if got := content(path); len(got) != 5*len(long) {
		t.Errorf("%d bytes", len(got))
	}
}

// journald may end before the agent does, and the agent goes on.
func TestEndOfLogReaderDoesNotEndAgent(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := testChild(t, "pipe")
	cmd.Stderr = w
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("it ended with %v", err)
	}
}
