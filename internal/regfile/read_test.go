package regfile

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// within fails the test if a call does not return: an open of a pipe waits for a writer.
func within(t *testing.T, limit time.Duration, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); call() }()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatal("it waits")
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWhatIsNoRegularFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	pipe, socket, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "socket"), filepath.Join(dir, "link")
	if err := errors.Join(unix.Mkfifo(pipe, 0o600), os.Symlink(pipe, link)); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, kind := range map[string]string{
		pipe: "a pipe", link: "a pipe", socket: "a socket", dir: "a directory", "/dev/zero": "a device",
	} {
		within(t, 10*time.Second, func() {
			for name, read := range map[string]func(string, int64) ([]byte, error){"Read": Read, "Tail": Tail} {
				data, err := read(path, 10)
				want := "read " + path + ": it must be a regular file, and it is " + kind
				if data != nil || !errors.Is(err, ErrNotRegular) || err.Error() != want {
					t.Errorf("%s: %q, %v, want %s", name, data, err, want)
				}
			}
		})
	}
}

func TestReadHasALimit(t *testing.T) {
	path := write(t, "0123456789")
	if data, err := Read(path, 10); err != nil || string(data) != "0123456789" {
		t.Errorf("%q, %v", data, err)
	}
	if data, err := Read(path, 9); data != nil || err == nil ||
		!strings.HasSuffix(err.Error(), "it has more than 9 bytes") {
		t.Errorf("%q, %v", data, err)
	}
	if err := os.Truncate(path, 1<<40); err != nil { // a file of holes
		t.Fatal(err)
	}
	within(t, 10*time.Second, func() {
		if _, err := ReadText(path); err == nil {
			t.Error("a huge file is read")
		}
	})
	if _, err := Read(path+"-absent", 9); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if data, err := Read("/proc/self/comm", 100); err != nil || len(data) == 0 { // its size is said to be 0
		t.Errorf("%q, %v", data, err)
	}
}

func TestTail(t *testing.T) {
	for text, want := range map[string]string{"": "", "12": "12", "0123456789": "6789"} {
		if data, err := Tail(write(t, text), 4); err != nil || string(data) != want {
			t.Errorf("%q: %q, %v", text, data, err)
		}
	}
}
