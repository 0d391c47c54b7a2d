package podmannet

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const blue = `{"name": "blue", "id": "7c7b", "driver": "vxlan", "options": {"vni": "100"}, "future": {"a": [1, 2]}}`

func writeNetworks(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"blue.json": blue, "red.json": `{"name": "red", "id": "8d8d", "driver": "bridge"}`, "broken.json": "{", "other.txt": blue,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "dir.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFind(t *testing.T) {
	dir := writeNetworks(t)
	for _, name := range []string{"blue", "7c7b"} {
		if f, err := Find(dir, "vxlan", name); err != nil || f.Name != "blue" || f.ID != "7c7b" {
			t.Errorf("got %+v, %v", f, err)
		}
	}
	if _, err := Find(dir, "vxlan", "red"); err == nil || !strings.Contains(err.Error(), "no network red of the driver vxlan; it has blue") {
		t.Errorf("another driver's network: %v", err)
	}
}

func TestNamed(t *testing.T) {
	dir := writeNetworks(t)
	for name, want := range map[string]string{"blue": "vxlan", "red": "bridge", "7c7b": "", "broken": ""} {
		if f, err := Named(dir, name); err != nil || f.Driver != want {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

// What is not known here stays, and so do the file's permissions. Nothing is left beside it.
func TestReplaceOptions(t *testing.T) {
	dir := writeNetworks(t)
	f, err := Find(dir, "vxlan", "blue")
	if err != nil {
		t.Fatal(err)
	}
	changed, err := WithOptions(f.Data, map[string]string{"vni": "100", "mtu": "1400"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Replace(changed); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Options map[string]string
		Future  json.RawMessage
		Name    string
	}
	data, err := os.ReadFile(f.Path)
	if err := errors.Join(err, json.Unmarshal(data, &got)); err != nil {
		t.Fatal(err)
	}
	if got.Options["mtu"] != "1400" || got.Options["vni"] != "100" || got.Name != "blue" || !strings.Contains(string(got.Future), "1") {
		t.Errorf("got %s", data)
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("permissions %v, %v", info.Mode(), err)
	}
	if all, _ := filepath.Glob(dir + "/.*"); len(all) > 0 {
		t.Errorf("left %v", all)
	}
}

// Podman's lock is one of its process, as this program's child has it.
func TestLockWaitsForPodman(t *testing.T) {
	path := filepath.Join(t.TempDir(), "netavark.lock")
	if os.Getenv("HOLD_LOCK") != "" {
		holdLock(os.Getenv("HOLD_LOCK"))
		return
	}
	held, err := lockFiles(time.Second, path, filepath.Join(t.TempDir(), "absent"))
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestLockWaitsForPodman$")
	child.Env = append(os.Environ(), "HOLD_LOCK="+path)
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer in.Close()
	line := make([]byte, 5)
	if _, err := out.Read(line); err != nil || string(line) != "busy\n" {
		t.Fatalf("while this process has the lock, the other one says %q, %v", line, err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(line); err != nil || string(line) != "held\n" {
		t.Fatalf("then it says %q, %v", line, err)
	}
	if _, err := lockFiles(0, path); !errors.Is(err, ErrBusy) {
		t.Errorf("while the other process has the lock: %v", err)
	}
}

// holdLock says whether the lock is free, and then takes it, as Podman does.
func holdLock(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		os.Exit(1)
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &whole); err != nil {
		os.Stdout.WriteString("busy\n")
	}
	wait := make([]byte, 1)
	_, _ = os.Stdin.Read(wait)
	if unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &whole) == nil {
		os.Stdout.WriteString("held\n")
	}
	_, _ = os.Stdin.Read(wait)
}
