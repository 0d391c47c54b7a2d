package store

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func threads(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// The limit is what keeps Podman from hanging for good. However often somebody tries while another
// process holds the lock, one thread waits. Whoever tries when the lock is free again gets it, and
// nobody keeps it who has given up.
func TestStuckHolderCostsOneThread(t *testing.T) {
	dir := t.TempDir()
	stuck := open(t, dir)
	wait := func() error {
		s, err := openWithin(dir, waitLimit{timeout: 10 * time.Millisecond})
		if err == nil {
			err = errors.Join(errors.New("locked twice"), s.Close())
		}
		return err
	}
	if err := wait(); err == nil || !strings.Contains(err.Error(), "another vxlan process has held it for 10ms; see `fuser ") {
		t.Errorf("got %v", err)
	}
	before := threads(t)
	for range 30 {
		if err := wait(); err == nil {
			t.Fatal("locked")
		}
	}
	if after := threads(t); after > before+2 { // the runtime may start one or two of its own
		t.Errorf("%d threads after one attempt, %d after 31", before, after)
	}
	stuck.Close()
	again, err := openWithin(dir, waitLimit{timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	waitUntilNobodyWaits(t)
}

// Threads of one program that want the lock at once all get it, one after the other, and so do
// those of other programs.
func TestManyWaitForLock(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range 50 {
		all.Go(func() {
			limit := waitLimit{timeout: 20 * time.Second}
			if i%5 == 0 {
				limit.timeout = time.Millisecond // gives up
			}
			s, err := openWithin(dir, limit)
			if err != nil {
				if i%5 != 0 {
					t.Error(err)
				}
				return
			}
			if !mu.TryLock() {
				t.Error("two at once")
			}
			time.Sleep(time.Millisecond)
			mu.Unlock()
			s.Close()
		})
	}
	time.Sleep(20 * time.Millisecond)
	first.Close()
	all.Wait()
	waitUntilNobodyWaits(t)
}

// A program that is told to end does not wait: at once if it waits already, and half a second for
// the last that it has to do.
func TestLockWaitEndsWithProgram(t *testing.T) {
	dir := t.TempDir()
	stuck := open(t, dir)
	stop := make(chan struct{})
	result := make(chan error)
	began := time.Now()
	go func() {
		_, err := OpenCached(dir, nil, stop)
		result <- err
	}()
	time.Sleep(20 * time.Millisecond)
	close(stop)
	if err := <-result; !errors.Is(err, errInterrupted) {
		t.Errorf("got %v", err)
	}
	if _, err := OpenCached(dir, nil, stop); err == nil || !strings.Contains(err.Error(), "held it for 500ms") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	stuck.Close()
	s, err := OpenCached(dir, nil, stop)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	waitUntilNobodyWaits(t)
}

// waitForCallers waits until so many wait for a lock.
func waitForCallers(t *testing.T, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		n := 0
		waitingLocks.mu.Lock()
		for _, queue := range waitingLocks.byInode {
			n += len(queue.callers)
		}
		waitingLocks.mu.Unlock()
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d wait, want %d", n, want)
		}
	}
}

// waitUntilNobodyWaits fails if a goroutine still waits for a lock, or keeps one.
func waitUntilNobodyWaits(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		waitingLocks.mu.Lock()
		n := len(waitingLocks.byInode)
		waitingLocks.mu.Unlock()
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d locks are still waited for", n)
		}
	}
}
