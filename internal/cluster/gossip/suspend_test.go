package gossip

import (
	"testing"
	"time"

	"vxlan-driver/internal/boottime"
	"vxlan-driver/internal/cluster/gossip/wire"
)

// suspend lets time go by in which no machine runs.
func suspend(t *testing.T, d time.Duration) {
	t.Helper()
	before := boottime.Simulated.Load()
	boottime.Simulated.Add(int64(d))
	t.Cleanup(func() { boottime.Simulated.Store(before) })
}

// A host that was away before this machine was suspended has been away all the time: its age
// counts, here and where its record is passed on to, and it is forgotten in time.
func TestAgesCountSuspends(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, n *memnet) {
		a, b, c := startThree(t, n)
		c.crash()
		a.waitUntilSees(time.Minute, "host-2: c2, (host-3: c3)")
		b.waitUntilSees(time.Minute, "host-1: c1, (host-3: c3)")
		suspend(t, 20*time.Hour)
		a.mu.Lock()
		m, err := wire.Decode(a.replica.DigestMessage(boottime.Now()), wire.Supported)
		a.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range m.Digests {
			if age := time.Duration(d.Age); d.Key == hostKey(3) && (age < 20*time.Hour || age > 21*time.Hour) {
				t.Errorf("others hear that it has been gone for %v", age)
			}
		}
		lost, _ := a.Snapshot().Find("host-3")
		if age := boottime.Since(lost.UnreachableSince); age < 20*time.Hour || age > 21*time.Hour {
			t.Errorf("it has been gone for %v", age)
		}
		time.Sleep(time.Minute)
		a.waitUntilSees(0, "host-2: c2, (host-3: c3)")
		suspend(t, 4*time.Hour)
		a.waitUntilSees(2*second, "host-2: c2")
		b.waitUntilSees(2*second, "host-1: c1")
	})
}
