package bpfpath

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// must returns a function that ends the test if there is no value.
func must(t testing.TB) func(uint64, error) uint64 {
	return func(v uint64, err error) uint64 {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// endOf returns the time that is in a table of one entry.
func endOf(t testing.TB, table *ebpf.Map) (end uint64) {
	t.Helper()
	err := table.Lookup(uint32(0), &end)
	return must(t)(end, err)
}

// The agent counts jiffies as they are.
func TestJiffies(t *testing.T) {
	o := newMachine(t, here).objects
	began := time.Now()
	first := must(t)(o.jiffiesNow())
	time.Sleep(300 * time.Millisecond)
	last := must(t)(o.jiffiesNow())
	took := time.Since(began)
	// What is read is as much as a jiffy old.
	least := must(t)(jiffiesIn(250 * time.Millisecond))
	most := must(t)(jiffiesIn(took + 50*time.Millisecond))
	if passed := last - first; passed < least || passed > most {
		t.Errorf("%d jiffies have passed, not %d to %d", passed, least, most)
	}
}

// Programs take packets for as long as the agent means, in their time.
func TestLeaseIsInJiffies(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	a.programs.mu.Lock()
	defer a.programs.mu.Unlock()
	o := a.programs.objects
	before := must(t)(o.jiffiesAfter(leaseTime))
	if err := a.programs.renewLease(a.path); err != nil {
		t.Fatal(err)
	}
	after := must(t)(o.jiffiesAfter(leaseTime))
	if end := endOf(t, o.ValidJiffies); end < before || end > after {
		t.Errorf("programs take packets until %d, not from %d to %d", end, before, after)
	}
}

// They know next hops for as long as it means, too.
func TestHopsAreInJiffies(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectWithHops(a, b)
	a.programs.mu.Lock()
	defer a.programs.mu.Unlock()
	o := a.programs.objects
	end := endOf(t, o.HopsJiffies)
	now, last := must(t)(o.jiffiesNow()), must(t)(o.jiffiesAfter(hopsTime))
	if end <= now || end > last {
		t.Errorf("hops are right until %d, not from %d to %d", end, now, last)
	}
}
