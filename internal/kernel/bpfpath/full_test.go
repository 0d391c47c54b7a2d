package bpfpath

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// Where a table has no room for all, a network goes without programs, and says so. That is no error, and
// takes no room from the others.
func TestFullTable(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	w := a.want(b)
	for i := range a.programs.objects.Remotes.MaxEntries() {
		w.Remote = append(w.Remote, kernel.MAC{2, 1, 0, byte(i >> 16), byte(i >> 8), byte(i)})
		w.FDB = append(w.FDB, kernel.FDB{Dst: b.vtep})
	}
	// The fast path of nftables would take long for so many.
	w.PortSecurity = true
	for name, skipPorts := range map[string]bool{"ports": false, "news": true} {
		t.Run(name, func(t *testing.T) {
			a.set(a.want(b))
			w.SkipPorts = skipPorts
			if err := a.net.Set(w); err != nil {
				t.Fatal(err)
			}
			if s := a.programs.State("vx.0"); s.Reason != "a table of the eBPF programs is full" {
				t.Errorf("got %+v", s)
			}
			a.hasPins("")
		})
	}
	a.set(a.want(b))
	if !takes(a, b) {
		t.Error("not by the programs again")
	}
}

// So it is where there is no memory, which a limit of the agent's control group may cause. Other errors stay.
func TestWithoutRoom(t *testing.T) {
	for err, want := range map[error]string{
		unix.E2BIG:  "a table of the eBPF programs is full",
		unix.ENOMEM: "there is no memory for the tables of the eBPF programs",
		unix.EPERM:  "",
		nil:         "",
	} {
		wrapped := err
		if err != nil {
			wrapped = fmt.Errorf("fill tables: %w", err)
		}
		got := withoutRoom(wrapped)
		if unfit, ok := errors.AsType[unfitError](got); ok != (want != "") || unfit.reason != want || !ok && got != wrapped {
			t.Errorf("%v: got %v", err, got)
		}
	}
}
