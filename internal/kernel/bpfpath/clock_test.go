package bpfpath

import (
	"testing"
	"time"
)

// The agent counts jiffies as they are.
func TestJiffies(t *testing.T) {
	m := newMachine(t, here)
	read := func() uint64 {
		t.Helper()
		now, err := m.objects.jiffiesNow()
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	began := time.Now()
	first := read()
	time.Sleep(300 * time.Millisecond)
	last := read()
	took := time.Since(began)
	// What is read is as much as a jiffy old.
	least, err := jiffiesIn(250 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	most, err := jiffiesIn(took + 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
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
	before, err := o.jiffiesAfter(leaseTime)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.programs.renewLease(a.path); err != nil {
		t.Fatal(err)
	}
	after, err := o.jiffiesAfter(leaseTime)
	if err != nil {
		t.Fatal(err)
	}
	var until uint64
	if err := o.ValidJiffies.Lookup(uint32(0), &until); err != nil {
		t.Fatal(err)
	}
	if until < before || until > after {
		t.Errorf("programs take packets until %d, not from %d to %d", until, before, after)
	}
}

// They know next hops for as long as it means, too.
func TestHopsAreInJiffies(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectWithHops(a, b)
	a.programs.mu.Lock()
	defer a.programs.mu.Unlock()
	o := a.programs.objects
	var until uint64
	if err := o.HopsJiffies.Lookup(uint32(0), &until); err != nil {
		t.Fatal(err)
	}
	now, err := o.jiffiesNow()
	if err != nil {
		t.Fatal(err)
	}
	last, err := o.jiffiesAfter(hopsTime)
	if err != nil {
		t.Fatal(err)
	}
	if until <= now || until > last {
		t.Errorf("hops are right until %d, not from %d to %d", until, now, last)
	}
}
