package bpfpath

import (
	"errors"
	"testing"

	"vxlan-driver/internal/kernel"
)

// To attach a program holds up whoever changes a link. So an agent attaches one at a time, and packets
// pass meanwhile.
func TestAttachedOneAtATime(t *testing.T) {
	a, b := newPair(t, underlay{})
	a.programs.AttachAtOnce = 1
	b.set(b.want(a))
	mayWait := a.want(b)
	mayWait.MayWait = true
	if err := a.net.Set(mayWait); !errors.Is(err, kernel.ErrFastPathUnfinished) || a.programs.objects != nil {
		t.Errorf("while a container starts: %v, loaded %v", err, a.programs.objects != nil)
	}
	exchange(a, b, containerB, 1)
	for _, want := range []error{kernel.ErrFastPathUnfinished, kernel.ErrFastPathUnfinished, nil, nil} { // device, underlay, port
		if err := a.net.Set(a.want(b)); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
		if state := a.programs.State("vx.0"); !state.Attached {
			t.Errorf("%+v", state)
		}
		exchange(a, b, containerB, 1)
	}
	if err := a.net.Set(mayWait); err != nil {
		t.Errorf("with nothing left to do: %v", err)
	}
	if !takes(a, b) {
		t.Error("not by the programs")
	}
}
