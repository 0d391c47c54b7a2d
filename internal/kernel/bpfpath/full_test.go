package bpfpath

import (
	"testing"

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
