package inventory

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

func TestCompare(t *testing.T) {
	web, db, old, bridge := kernel.MAC{6, 1}, kernel.MAC{6, 2}, kernel.MAC{6, 3}, kernel.MAC{6, 4}
	host := netip.MustParseAddr("198.18.0.2")
	want := Wanted{
		Network: "blue", Flood: []kernel.FDB{{Dst: host}},
		Forwarding: plan.Forwarding{
			Device: kernel.Link{Name: "vxlan-blue"},
			Tables: kernel.ForwardingTables{
				FDB: []kernel.FDB{{MAC: web, Dst: host}, {MAC: db, Dst: host}}, Static: []kernel.MAC{web},
				Neighbours: []kernel.Neighbour{{Addr: netip.MustParseAddr("10.0.0.2"), MAC: web}},
			},
		},
	}
	want.Owners = OwnersOf([]*cluster.Member{{Host: "b", Membership: cluster.Membership{BridgeMAC: bridge, Endpoints: []cluster.Endpoint{
		{MAC: db, Names: []string{"db"}}, {MAC: web, Names: []string{"web"}}, {ContainerID: "unknown"},
	}}}})
	have := kernel.ForwardingTables{
		FDB:        []kernel.FDB{{MAC: bridge, Dst: host}, {MAC: web, Dst: host}, {MAC: old, Dst: host}, {MAC: db, Dst: netip.MustParseAddr("198.18.0.3")}},
		Neighbours: []kernel.Neighbour{{Addr: netip.MustParseAddr("10.0.0.2"), MAC: old}},
	}
	lines := func() (all []string) {
		for e := range want.Compare(have, nil).Entries() {
			all = append(all, fmt.Sprint(e.Table, " ", e.Key, " ", e.Target, " ", e.Owner, " ", e.State))
		}
		return all
	}
	if got, want := lines(), []string{
		"flood all 198.18.0.2  missing",
		"fdb 06:01:00:00:00:00 198.18.0.2 web on b ok",
		"fdb 06:02:00:00:00:00 198.18.0.2 db on b missing",
		"fdb 06:02:00:00:00:00 198.18.0.3 db on b extra",
		"fdb 06:03:00:00:00:00 198.18.0.2  extra",
		"fdb 06:04:00:00:00:00 198.18.0.2 b extra",
		"bridge 06:01:00:00:00:00 vxlan-blue web on b missing",
		"neighbour 10.0.0.2 06:01:00:00:00:00 web on b missing",
		"neighbour 10.0.0.2 06:03:00:00:00:00  extra",
	}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	want.Partial = true // some hosts are not known yet, and theirs stay
	if got := lines(); slices.ContainsFunc(got, func(l string) bool { return l == "fdb 06:03:00:00:00:00 198.18.0.2  extra" }) {
		t.Errorf("while not all hosts are known: %q", got)
	}
}
