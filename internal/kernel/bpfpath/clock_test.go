package bpfpath

import (
	"testing"
	"time"
)

// The agent counts jiffies as they are.
func TestJiffies(t *testing.T) {
	m := newMachine(t, here)
	read := func() (uint64, time.Time) {
		t.Helper()
		now, err := m.objects.jiffiesNow()
		if err != nil {
			t.Fatal(err)
		}
		return now, time.Now()
	}
	first, began := read()
	time.Sleep(300 * time.Millisecond)
	last, ended := read()
	// What is read is as much as a jiffy old, and a busy machine may stop the test between two lines.
	least, err := jiffiesIn(250 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	most, err := jiffiesIn(ended.Sub(began) + 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if passed := last - first; passed < least || passed > most {
		t.Errorf("%d jiffies have passed, not %d to %d", passed, least, most)
	}
}

// What the agent sets is in the programs' time.
func TestLeaseIsAMinute(t *testing.T) {
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
