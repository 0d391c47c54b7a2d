package bpfpath

import (
	"testing"

	"vxlan-driver/internal/kernel"
)

// A container behind a port gets another MAC. What the old one has pinned gives way.
func TestPortWithAnotherMAC(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	w := a.want(b)
	w.Ports = []kernel.FastPathPort{{Name: "c0", MAC: kernel.MAC{2, 0, 10, 0, 0, 9}}}
	a.set(w)
	a.set(a.want(b))
	a.hasPins(allPins)
	if !takes(a, b) {
		t.Error("not by the programs")
	}
}
