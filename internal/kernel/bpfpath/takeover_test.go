package bpfpath

import (
	"net/netip"
	"testing"

	"vxlan-driver/internal/kernel"
)

// While no agent was there, a container has moved to another host, and one has gone. The tables that the next
// agent takes over have that at once, though its wish names neither.
func TestRemotesOfEarlierAgent(t *testing.T) {
	a, b := newPair(t, underlay{})
	w, gone := a.want(b), kernel.MAC{2, 7}
	w.Remote, w.FDB = append(w.Remote, gone), append(w.FDB, kernel.FDB{MAC: gone, Dst: b.vtep})
	a.set(w)
	elsewhere := netip.MustParseAddr("198.18.0.9")
	a.sh("bridge fdb replace " + b.mac().String() + " dev vx.0 dst " + elsewhere.String())
	a.newAgent()
	w.Remote, w.FDB, w.Only = nil, nil, []kernel.MAC{}
	a.set(w)
	remotes, err := dump[programsStation, programsRemote](a.programs.objects.Remotes)
	if err != nil || len(remotes) != 1 {
		t.Errorf("%v, %v", remotes, err)
	}
	for key, r := range remotes {
		if key.Mac != b.mac() || fromAddress(r.Vtep) != elsewhere {
			t.Errorf("%v is at %v", key.Mac, fromAddress(r.Vtep))
		}
	}
}

// The next hops that an earlier agent has left are used no more, though its network has not been looked at yet
// when others' hops are known.
func TestHopsOfEarlierAgent(t *testing.T) {
	a, b := newPair(t, underlay{})
	connectPair(a, b)
	if err := a.programs.setHops(a.path); err != nil {
		t.Fatal(err)
	}
	if hop := a.hopTo(b); hop != b.vtep {
		t.Fatalf("the hop is %v", hop)
	}
	a.newAgent()
	if err := a.programs.load(); err != nil {
		t.Fatal(err)
	}
	if err := a.programs.setHops(a.path); err != nil {
		t.Fatal(err)
	}
	if hop := a.hopTo(b); hop.IsValid() {
		t.Errorf("the hop is %v still", hop)
	}
}
