package labtest

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Each calls a function for all values at once, for what takes its time on each host and disturbs
// no other. If a call ends the test, the test ends when all have returned.
func Each[T any](t testing.TB, values []T, call func(T)) {
	t.Helper()
	var calls sync.WaitGroup
	var returned atomic.Int64
	for _, value := range values {
		calls.Go(func() {
			call(value)
			returned.Add(1)
		})
	}
	calls.Wait()
	if returned.Load() < int64(len(values)) {
		t.FailNow() // in the test's own goroutine
	}
}
