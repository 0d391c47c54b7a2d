package membership

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
)

// After hosts could not hear each other, two containers may have one address.
func TestDuplicates(t *testing.T) {
	n := staticNetwork() // has web at 10.0.0.2
	h := otherHost(2, withEndpoints(
		cluster.Endpoint{ContainerID: "c1", Names: []string{"db"}, MAC: kernel.MAC{2, 1}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
		cluster.Endpoint{ContainerID: "c2", Names: []string{"ok"}, MAC: kernel.MAC{2, 2}, Addrs: []netip.Addr{netip.MustParseAddr("10.0.0.3")}},
	))
	const conflict = "address 10.0.0.2 of network blue is that of container web here and of container db on host c (198.18.0.2); "
	want := []string{conflict + "the one here keeps it: restart the other one with another address"}
	if got := texts(Duplicates(n, NewRoster(n, snapshot(h)))); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	h.Memberships[0].Endpoints[0].Requested = true
	want = []string{conflict + "the one there keeps it: restart the one here with another address"}
	if got := texts(Duplicates(n, NewRoster(n, snapshot(h)))); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	unreachable(&h)
	if got := texts(Duplicates(n, NewRoster(n, snapshot(h)))); len(got) > 0 {
		t.Errorf("of an unreachable host: %q", got)
	}
}

func TestNameConflicts(t *testing.T) {
	id := "0123456789ab"
	tests := []struct {
		name  string
		local string // the container's own name; it has the alias www
		names []string
		want  bool
	}{
		{"the same name", "web", []string{"web", id}, true},
		{"the same name in other letters", "web", []string{"Web", id}, true},
		{"another name", "web", []string{"db", id}, false},
		{"the same alias", "web", []string{"db", "www", id}, false},
		{"an alias like the name here", "web", []string{"db", "web", id}, false},
		{"a name like the alias here", "web", []string{"www", id}, false},
		{"a claim has no names", "web", nil, false},
		{"a name that the DNS cannot carry", "we b", []string{id}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := staticNetwork()
			n.Endpoints[0].ContainerName = tt.local
			h := otherHost(2, withEndpoints(cluster.Endpoint{ContainerID: "c1", Names: tt.names}))
			got := texts(NameConflicts(n, NewRoster(n, snapshot(h))))
			if (len(got) == 1) != tt.want || tt.want && !strings.Contains(got[0], "of network blue is that of a container here and of one on host c") {
				t.Errorf("got %q", got)
			}
			unreachable(&h)
			if got := NameConflicts(n, NewRoster(n, snapshot(h))); len(got) > 0 {
				t.Errorf("of an unreachable host: %q", got)
			}
		})
	}
}

// A container whose name the DNS cannot carry publishes its id first, not an alias, which others
// would take for its name.
func TestAliasIsNotPublishedAsName(t *testing.T) {
	n := staticNetwork()
	n.Endpoints[0].ContainerName = "a..b"
	if got := Publish([]Network{n})[0].Endpoints[0].Names; got[0] != strings.Repeat("ab", 6) || !slices.Contains(got, "www") || slices.Contains(got, "a..b") {
		t.Errorf("got %q", got)
	}
}
