package netns_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"vxlan-driver/internal/kernel/netns"
	"vxlan-driver/internal/kernel/netnstest"
)

// currentNamespace identifies the namespace of the calling thread, such as net:[4026531840].
func currentNamespace(t *testing.T) string {
	t.Helper()
	s, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func namespaceAt(t *testing.T, path string) (id string) {
	t.Helper()
	err := netns.Do(path, func() error { id = currentNamespace(t); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestDoRunsInNamespace(t *testing.T) {
	home := currentNamespace(t)
	a, b := netnstest.New(t), netnstest.New(t)
	idA, idB := namespaceAt(t, a), namespaceAt(t, b)
	if idA == home || idB == home || idA == idB {
		t.Fatalf("not three namespaces: %s %s %s", home, idA, idB)
	}
	if again := namespaceAt(t, a); again != idA {
		t.Errorf("second time in %s, not in %s", again, idA)
	}
	want := errors.New("of fn")
	if err := netns.Do(a, func() error { return want }); err != want {
		t.Errorf("error is %v", err)
	}
	if id := currentNamespace(t); id != home {
		t.Errorf("caller was moved to %s", id)
	}
}

func TestDoWithoutNamespace(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain") // what a crash leaves in /run/netns
	if err := os.WriteFile(plain, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		filepath.Join(dir, "missing"): fs.ErrNotExist,
		plain:                         netns.ErrNotNamespace,
		dir:                           netns.ErrNotNamespace,
		"/dev/null":                   netns.ErrNotNamespace,
		"/proc/self/ns/uts":           netns.ErrNotNamespace,
	} {
		err := netns.Do(path, func() error { t.Error("fn was called"); return nil })
		if !errors.Is(err, want) || !netns.Gone(err) {
			t.Errorf("%s: error is %v, not %v", path, err, want)
		}
	}
	if netns.Gone(fs.ErrPermission) {
		t.Error("a namespace that may not be opened is not gone")
	}
}

// Threads that a panic left in the namespace would be used by other goroutines, so ask on many of
// them at the same time.
func TestDoPanicAndGoexit(t *testing.T) {
	home, path := currentNamespace(t), netnstest.New(t)
	cause := errors.New("of fn")
	for range 10 {
		func() {
			defer func() {
				if err, ok := recover().(error); !ok || !errors.Is(err, cause) {
					t.Errorf("recovered %v", err)
				}
			}()
			netns.Do(path, func() error { panic(cause) })
			t.Error("panic was lost")
		}()
		exited := make(chan bool)
		go func() {
			defer close(exited)
			netns.Do(path, func() error { runtime.Goexit(); return nil })
			t.Error("Goexit was lost")
		}()
		<-exited
	}
	onAllThreads(func() {
		if id := currentNamespace(t); id != home {
			t.Errorf("a thread stayed in %s", id)
		}
	})
}

func TestDoParallel(t *testing.T) {
	home := currentNamespace(t)
	paths := []string{netnstest.New(t), netnstest.New(t), netnstest.New(t)}
	ids := make([]string, len(paths))
	for i, p := range paths {
		ids[i] = namespaceAt(t, p)
	}
	var wg sync.WaitGroup
	for n := range 60 {
		wg.Go(func() {
			for range 10 {
				i := n % len(paths)
				if id := namespaceAt(t, paths[i]); id != ids[i] {
					t.Errorf("in %s, not in %s", id, ids[i])
				}
				runtime.Gosched()
			}
		})
	}
	wg.Wait()
	onAllThreads(func() {
		if id := currentNamespace(t); id != home {
			t.Errorf("a thread stayed in %s", id)
		}
	})
}

// onAllThreads runs f in so many goroutines that block in system calls that the runtime has to use
// the threads it has parked.
func onAllThreads(f func()) {
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(f)
	}
	wg.Wait()
}

func BenchmarkDo(b *testing.B) {
	path := netnstest.New(b)
	for b.Loop() {
		if err := netns.Do(path, func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
