package membership

import (
	"net/netip"
	"strings"
	"testing"

	"vxlan-driver/internal/cluster"
)

// A host whose address changed is there once at the others and at itself, although its old record
// still counts as reachable.
func TestMovedHostIsListedOnce(t *testing.T) {
	web := cluster.Endpoint{ContainerID: "c1", Names: []string{"web"}}
	db := cluster.Endpoint{ContainerID: "c2", Names: []string{"db"}}
	was := func(vteps ...netip.Addr) func(*cluster.Host) {
		return func(h *cluster.Host) { h.Memberships[0].FormerVTEPs = vteps }
	}
	tests := []struct {
		name  string
		hosts []cluster.Host
		want  string // the last bytes of the VTEPs
	}{
		{"nobody moved", []cluster.Host{otherHost(2, withEndpoints(web)), otherHost(3, withEndpoints(db))}, "2 3"},
		{"one moved", []cluster.Host{otherHost(2, withEndpoints(web)), otherHost(3, withEndpoints(web, db), was(vtep(2)))}, "3"},
		{"one moved to a lower address", []cluster.Host{otherHost(2, withEndpoints(web), was(vtep(3))), otherHost(3, withEndpoints(web, db))}, "2"},
		{"the old record is unreachable", []cluster.Host{otherHost(2, withEndpoints(web), unreachable), otherHost(3, withEndpoints(web), was(vtep(2)))}, "3"},
		{"another host has the old address", []cluster.Host{otherHost(2, withEndpoints(db)), otherHost(3, withEndpoints(web), was(vtep(2)))}, "2 3"},
		{"it moved back", []cluster.Host{otherHost(2, withEndpoints(web), was(vtep(3))), otherHost(3, withEndpoints(web), was(vtep(2)))}, "2 3"},
		{"it moved and is gone", []cluster.Host{otherHost(2, withEndpoints(web)), otherHost(3, withEndpoints(web), was(vtep(2)), unreachable)}, "2 3"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, m := range gossipNetwork().Members(snapshot(tt.hosts...)) {
				got = append(got, m.VTEP.String()[len("198.18.0."):])
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}

func TestOwnRecordFromBeforeTheMoveIsDropped(t *testing.T) {
	n := gossipNetwork()
	own := otherHost(2, withEndpoints(cluster.Endpoint{ContainerID: n.Endpoints[0].ContainerID, Names: []string{"web"}, Addrs: AddrsOf(n.Endpoints[0])}))
	other := otherHost(2, withEndpoints(cluster.Endpoint{ContainerID: "c2"}))
	if len(n.Members(snapshot(own))) != 1 {
		t.Error("dropped before the host moved")
	}
	n.VTEP.Home.Local = vtep(2)
	if got := n.Members(snapshot(own)); len(got) > 0 || len(Duplicates(n, NewRoster(n, snapshot(own)))) > 0 {
		t.Errorf("got %+v", got)
	}
	if len(n.Members(snapshot(other))) != 1 {
		t.Error("the host that has the address now was dropped")
	}
	if got := Publish([]Network{n})[0].FormerVTEPs; len(got) != 1 || got[0] != vtep(2) {
		t.Errorf("publishes %v", got)
	}
	n.VTEP.Home.Local = n.VTEP.Local
	if got := Publish([]Network{n})[0].FormerVTEPs; len(got) > 0 {
		t.Errorf("back at home, publishes %v", got)
	}
}
