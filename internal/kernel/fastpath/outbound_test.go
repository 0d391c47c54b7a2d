package fastpath

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel"
)

const realTable = "netdev vxlan-driver-vx0"

// A table is loaded, changed and deleted, each change twice. nft lists it so that it can be loaded
// again.
func TestTableComesAndGoes(t *testing.T) {
	h := newRealHost(t)
	for range 2 {
		h.apply(LoadTable{"vx0", both})
		h.hasTable(both)
	}
	listing := h.sh("nft list ruleset")
	t.Log(listing)
	for _, want := range []string{"02:00:00:00:01:01", "ether daddr @remote fwd to \"vx0\"", "port-02360a000001"} {
		if !strings.Contains(listing, want) {
			t.Errorf("the listing has no %s", want)
		}
	}
	h.apply(ChangeTable{
		Device: "vx0",
		Delete: Members{both.Remote[:1], both.Ports[1:]},
		Add:    Members{Remote: []kernel.MAC{remote3}},
	})
	left := Members{[]kernel.MAC{remote2, remote3}, both.Ports[:1]}
	h.hasTable(left)
	listing = h.sh("nft list ruleset")
	if again := h.sh("nft list ruleset > rules.tmp; nft flush ruleset; nft -f rules.tmp; rm rules.tmp; nft list ruleset"); again != listing {
		t.Errorf("loaded again it is\n%s", again)
	}
	h.hasTable(left)
	for range 2 {
		h.apply(EvictFromTable{"vx0", remote2}, EvictFromTable{"vx0", portOne.MAC}, EvictFromTable{"other", portOne.MAC})
	}
	h.hasTable(Members{Remote: []kernel.MAC{remote3}})
	for range 2 {
		h.apply(DeleteTable{"vx0"})
	}
	if got := h.sh("nft list ruleset"); got != "" {
		t.Errorf("left\n%s", got)
	}
	if have, err := h.Outbound("vx0", Look{}); have.Exists || err != nil {
		t.Errorf("got %+v, %v", have, err)
	}
}

// A look at some MACs finds those alone, and none in a table of another device.
func TestLookAtSomeOfTheTable(t *testing.T) {
	h := newRealHost(t)
	h.apply(LoadTable{"vx0", both})
	some := Look{Only: []kernel.MAC{remote2, remote3}, SkipPorts: true}
	have, err := h.Outbound("vx0", some)
	if err != nil || !have.Intact || !sameMembers(have.Members, Members{Remote: []kernel.MAC{remote2}}) {
		t.Errorf("got %+v, %v", have, err)
	}
	some.SkipPorts = false
	if have, err := h.Outbound("vx0", some); err != nil || !sameMembers(have.Members, Members{[]kernel.MAC{remote2}, both.Ports}) {
		t.Errorf("with ports: %+v, %v", have, err)
	}
	h.sh("ip link del vx0; " + addVXLAN)
	if have, err := h.Outbound("vx0", Look{Only: some.Only, SkipPorts: true}); err != nil || have.Intact || len(have.Remote) > 0 {
		t.Errorf("of another device: %+v, %v", have, err)
	}
}

// What happens to rules and devices is seen: as a table that is not intact, or as a port without a
// name.
func TestTableDriftDetected(t *testing.T) {
	portOneIncomplete := Members{both.Remote, []kernel.FastPathPort{{MAC: portOne.MAC}, portTwo}}
	for _, tt := range []struct {
		name, script string
		want         Members
	}{
		{"the VXLAN device is another", "ip link del vx0; " + addVXLAN, Members{}},
		{"the rules are of another version", "nft 'delete table " + realTable + "; add table " + realTable + "'", Members{}},
		{"a rule is gone", "nft flush chain " + realTable + " containers", Members{}},
		{"a rule was added", "nft insert rule " + realTable + " containers accept", Members{}},
		{"a port's rule is gone", "nft flush chain " + realTable + " port-02360a000001", portOneIncomplete},
		{"a port's rule is another",
			"nft 'flush chain " + realTable + " port-02360a000001; add rule " + realTable + " port-02360a000001 accept'", portOneIncomplete},
		{"a remote MAC is gone", "nft delete element " + realTable + " remote '{ 02:00:00:00:01:01 }'", Members{both.Remote[1:], both.Ports}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newRealHost(t)
			h.apply(LoadTable{"vx0", both})
			h.sh(tt.script)
			have, err := h.Outbound("vx0", Look{})
			if err != nil || !have.Exists || have.Intact == tt.want.isEmpty() || !sameMembers(have.Members, tt.want) {
				t.Errorf("got %+v, %v; want %+v", have, err, tt.want)
			}
		})
	}
}

// No chain of a port that was evicted waits for another port of the name, and catches what that one
// sends.
func TestEvictedPortLeavesNoChain(t *testing.T) {
	h := newRealHost(t)
	h.apply(LoadTable{"vx0", both}, EvictFromTable{"vx0", portOne.MAC})
	h.sh("ip link del one; " + addPortOne)
	if got := h.sh("nft list table " + realTable); strings.Contains(got, portChainName(portOne.MAC)) {
		t.Errorf("there is\n%s", got)
	}
}

// The chain of a port that goes without having been evicted goes too, or it comes back with a
// device of the name, by the kernel's version. As it is found, it can be replaced.
func TestChainOfLostPortIsReplaced(t *testing.T) {
	h := newRealHost(t)
	h.apply(LoadTable{"vx0", both})
	h.sh("ip link del one")
	have, err := h.Outbound("vx0", Look{})
	if err != nil || !have.Intact {
		t.Fatal(have, err)
	}
	stale := slices.DeleteFunc(have.Ports, func(p kernel.FastPathPort) bool { return p.MAC != portOne.MAC })
	h.sh(addPortOne)
	h.apply(ChangeTable{Device: "vx0", Delete: Members{Ports: stale}, Add: Members{Ports: both.Ports[:1]}})
	h.hasTable(both)
}

// A chain for a port that is gone is refused, and all with it, or waits for a port of the name
// (Linux 6.16 or so).
func TestChainForMissingPort(t *testing.T) {
	h := newRealHost(t)
	h.apply(LoadTable{"vx0", both})
	gone := kernel.FastPathPort{Name: "gone", MAC: kernel.MAC{2, 5: 9}}
	err := h.Apply(ChangeTable{Device: "vx0", Add: Members{Ports: []kernel.FastPathPort{gone}}})
	want := both
	if err == nil {
		want.Ports = append(slices.Clone(both.Ports), gone)
	} else if !errors.Is(err, kernel.ErrNotFound) || !strings.Contains(err.Error(), "gone") {
		t.Errorf("got %v", err)
	}
	h.hasTable(want)
}

// The version must change with the rules, or a program would take another version's for its own.
func TestRulesVersion(t *testing.T) {
	if want := outboundTable("vxlan-blue", 1).Hash(portChain(portOne)); rulesVersion != want {
		t.Errorf("version %q, want %q", rulesVersion, want)
	}
}
