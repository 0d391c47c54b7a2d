package agent

import (
	"net/netip"
	"slices"
	"testing"

	"vxlan-driver/internal/config"
	"vxlan-driver/internal/hoststate"
)

// Hosts are asked that the configuration names, those that the network lists, and those that
// were found, but not the host itself.
func TestSeeds(t *testing.T) {
	c, err := config.Parse(`seeds = ["198.18.0.9"]`)
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{Config: c}
	found := local()
	found.Gossip, found.Network.Remotes, found.VTEP.Remotes = true, []netip.Addr{vtep(1), vtep(7)}, []netip.Addr{vtep(7), vtep(8)}
	var got []netip.Addr
	for _, s := range a.seeds([]hoststate.Network{local(), found}) {
		got = append(got, s.Addr())
	}
	if want := []netip.Addr{vtep(9), vtep(2), vtep(3), vtep(7), vtep(8)}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}
