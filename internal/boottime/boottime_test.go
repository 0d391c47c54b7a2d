package boottime

import (
	"testing"
	"time"
)

// Two clocks cannot be read at once, and the ages that are compared must not jump for that.
func TestNowNeverGoesBack(t *testing.T) {
	last := Now()
	for range 200_000 {
		now := Now()
		if now.Before(last) {
			t.Fatalf("%v after %v", now, last)
		}
		last = now
	}
}

// A suspend counts. Without one, the clock is that of package time.
func TestSuspendCounts(t *testing.T) {
	t.Cleanup(func() { Simulated.Store(0) })
	began, monotonic := Now(), time.Now()
	Simulated.Add(int64(3 * time.Hour))
	if age := Since(began) - time.Since(monotonic); (age - 3*time.Hour).Abs() > leastSuspend {
		t.Errorf("over a suspend of 3 hours, %v go by", age)
	}
}

// The kernel's clocks are those that the package takes them for.
func TestDifferenceIsThatOfSuspends(t *testing.T) {
	var differences []time.Duration
	for len(differences) < 10 {
		if d, ok := readDifference(); ok {
			differences = append(differences, d)
		}
	}
	for _, d := range differences {
		if d < 0 || (d-differences[0]).Abs() >= leastSuspend {
			t.Errorf("the machine was suspended for %v", differences)
		}
	}
}
