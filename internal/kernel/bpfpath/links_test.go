package bpfpath

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"vxlan-driver/internal/kernel"
)

// To attach a program holds up whoever changes a link. So an agent attaches one at a time without its lock, and
// packets pass meanwhile.
func TestAttachedOneAtATime(t *testing.T) {
	a, b := newPair(t, underlay{})
	a.programs.AttachLater = true
	b.set(b.want(a))
	if err := a.net.Set(a.want(b)); !errors.Is(err, kernel.ErrFastPathUnfinished) || a.programs.objects != nil {
		t.Errorf("at once: %v, loaded %v", err, a.programs.objects != nil)
	}
	exchange(a, b, containerB, 1)
	unfinished := kernel.ErrFastPathUnfinished
	for _, want := range []error{unfinished, unfinished, unfinished, nil, nil} { // loaded; device, underlay, port
		a.attachNext()
		if err := a.net.Set(a.want(b)); !errors.Is(err, want) {
			t.Fatalf("got %v, want %v", err, want)
		}
		if state := a.programs.State("vx.0"); !state.Attached {
			t.Errorf("%+v", state)
		}
		exchange(a, b, containerB, 1)
	}
	if !takes(a, b) {
		t.Error("not by the programs")
	}
}

func (h *realHost) attachNext() {
	h.Helper()
	if err := h.programs.AttachNext(h.path, "vx.0"); err != nil {
		h.Fatal(err)
	}
}

// What was left to be attached may be gone by then, or be somebody else's.
func TestAttachedToNothingElse(t *testing.T) {
	for name, change := range map[string]func(*realHost){
		"port gone": func(a *realHost) { a.sh("ip link delete c0") },
		"another of its index": func(a *realHost) {
			a.sh(`i=$(ip -o link show c0 | cut -d: -f1); ip link delete c0; ip link add other index $i type veth peer name peer`)
		},
		"network gone": func(a *realHost) {
			if err := os.RemoveAll(a.programs.pins("vx.0")); err != nil {
				a.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t, underlay{})
			a.programs.AttachLater = true
			for range 3 { // loaded, device, underlay
				if err := a.net.Set(a.want(b)); !errors.Is(err, kernel.ErrFastPathUnfinished) {
					t.Fatal(err)
				}
				a.attachNext()
			}
			if err := a.net.Set(a.want(b)); !errors.Is(err, kernel.ErrFastPathUnfinished) {
				t.Fatal(err)
			}
			change(a)
			a.attachNext()
			ports, err := filepath.Glob(a.programs.pins("vx.0") + "/port-*")
			if err != nil || len(ports) > 0 {
				t.Errorf("attached: %v, %v", ports, err)
			}
		})
	}
}
