package lab

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeBuilder stands for debootstrap: it takes the root of a tree that is there already.
type fakeBuilder struct {
	ready  Tree
	text   string
	fail   error
	builds *atomic.Int32
}

func (f fakeBuilder) requiredTools() []tool { return nil }

func (f fakeBuilder) describeTree(context.Context) (string, error) { return f.text, nil }

func (f fakeBuilder) rootDir(string) string { return f.ready.Root }

func (f fakeBuilder) buildTree(_ context.Context, dir string, _ *progress) (string, error) {
	f.builds.Add(1)
	if _, err := os.Stat(filepath.Join(dir, "half")); err == nil {
		return "", errors.New("build starts in a directory that is not empty")
	}
	return f.ready.Root, errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o644), f.fail)
}

func newFakeBuilder(t *testing.T) fakeBuilder {
	t.Helper()
	tree, err := Prepare(t.Context(), "", os.Stderr)
	if _, missing := errors.AsType[*MissingError](err); missing && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fakeBuilder{ready: tree, text: "one", builds: &atomic.Int32{}}
}

func quietProgress() *progress { return &progress{out: io.Discard, start: time.Now()} }

func TestInterruptedBuildIsNoTree(t *testing.T) {
	b := newFakeBuilder(t)
	dir := filepath.Join(t.TempDir(), "suite")
	b.fail = errors.New("interrupted")
	if _, err := prepareTree(t.Context(), dir, b, quietProgress()); !errors.Is(err, b.fail) {
		t.Fatalf("got %v, want %v", err, b.fail)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("the half tree is taken for a tree")
	}
	b.fail = nil
	tree, err := prepareTree(t.Context(), dir, b, quietProgress())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(tree.Images, "overlay-images"), filepath.Join(tree.Images, "root.tar")} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestTreeIsBuiltOnceAndAgainWhenStale(t *testing.T) {
	b := newFakeBuilder(t)
	dir := filepath.Join(t.TempDir(), "suite")
	build := func(b builder) error {
		_, err := prepareTree(t.Context(), dir, b, quietProgress())
		return err
	}
	var errs [3]error
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() { errs[i] = build(b) })
	}
	wait.Wait()
	if err := errors.Join(errs[:]...); err != nil || b.builds.Load() != 1 {
		t.Fatalf("three at once built %d times: %v", b.builds.Load(), err)
	}
	b.text = "two"
	if err := build(b); err != nil || b.builds.Load() != 2 {
		t.Fatalf("another package list: built %d times in all: %v", b.builds.Load(), err)
	}

	// Not under the feet of a lab that runs on it.
	l, err := Start(t.Context(), Config{Tree: Tree{Root: b.ready.Root, Images: filepath.Join(dir, "images")}})
	if err != nil {
		t.Fatal(err)
	}
	b.text = "three"
	if err := build(b); err == nil || !strings.Contains(err.Error(), l.Name()) {
		t.Errorf("replaced a tree in use: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := build(b); err != nil {
		t.Error(err)
	}
}

func TestPrepareRejectsUnknownSuite(t *testing.T) {
	if _, err := Prepare(t.Context(), "potato", io.Discard); err == nil || !strings.Contains(err.Error(), "trixie") {
		t.Errorf("got %v, want an error that names the suites", err)
	}
}

func TestPodmanVersion(t *testing.T) {
	for version, ok := range map[string]bool{
		"4.3.1": false, "4.4": false, "4.5.0": true, "4.9.3-rhel": true, "5.0.0-dev": true, "10.1": true, "x": false,
	} {
		if err := checkPodmanVersion(version); (err == nil) != ok {
			t.Errorf("version %s: %v", version, err)
		}
	}
}

func TestProcessIdentity(t *testing.T) {
	self, err := identifyProcess(os.Getpid())
	if err != nil || !self.isAlive() {
		t.Fatalf("this process is not alive: %+v, %v", self, err)
	}
	reused, rebooted := self, self
	reused.Start++
	rebooted.Boot = "other"
	for _, p := range []process{reused, rebooted, {}} {
		if p.isAlive() {
			t.Errorf("%+v is alive", p)
		}
	}
}

func TestMissingToolIsNamed(t *testing.T) {
	err := ensureTools(t.Context(), io.Discard, []tool{{name: "/nonexistent/tool"}})
	if missing, ok := errors.AsType[*MissingError](err); !ok || missing.What != "/nonexistent/tool" {
		t.Errorf("got %v", err)
	}
}
