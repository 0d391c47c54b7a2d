package cluster

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var unionKey = NetworkKey{VNI: 100, Port: 4789}

// onPlane is a host with containers, as one plane tells of it.
func onPlane(n byte, addr string, containers ...string) Host {
	m := Membership{Network: unionKey, VTEP: mustAddr(fmt.Sprintf("198.18.0.%d", n)), StaticFDB: true}
	for _, c := range containers {
		e := Endpoint{ContainerID: strings.TrimSuffix(c, "?"), Names: []string{c}}
		if strings.HasSuffix(c, "?") { // it is only claimed
			e.Names, e.Addrs = nil, []netip.Addr{mustAddr("10.0.0.9")}
		}
		m.Endpoints = append(m.Endpoints, e)
	}
	return Host{ID: HostID{n}, Name: fmt.Sprint("host-", n), Addr: mustAddr(addr), Memberships: []Membership{m}}
}

func gone(h Host) Host {
	h.UnreachableSince = time.Unix(1, 0)
	return h
}

// shownOf prints members: each with what the network's hosts know of it.
func shownOf(members []*Member) string {
	var all []string
	for _, m := range members {
		text := m.Host
		if !m.Reachable {
			text += " lost"
		}
		for _, e := range m.Endpoints {
			text += " " + e.ContainerID
			if e.Claimed() {
				text += "?"
			}
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func TestUnionOfTwoPlanes(t *testing.T) {
	for _, tt := range []struct {
		name          string
		first, second []Host
		want          string
	}{
		{"nobody", nil, nil, ""},
		{"one plane alone", []Host{onPlane(1, "198.18.0.1", "a")}, nil, "host-1 (198.18.0.1) a"},
		{"the other alone", nil, []Host{onPlane(1, "198.18.0.1", "a")}, "host-1 (198.18.0.1) a"},
		{"one each", []Host{onPlane(1, "198.18.0.1", "a")}, []Host{onPlane(2, "198.18.0.2", "b")},
			"host-1 (198.18.0.1) a, host-2 (198.18.0.2) b"},
		{"the same by both", []Host{onPlane(1, "198.18.0.1", "a")}, []Host{onPlane(1, "192.0.2.1", "a")},
			"host-1 (198.18.0.1) a"},
		{"it tells them one after the other", []Host{onPlane(1, "198.18.0.1", "b")},
			[]Host{onPlane(1, "198.18.0.1", "a", "b", "c")}, "host-1 (198.18.0.1) a b c"},
		{"a claim by one is a container by the other", []Host{onPlane(1, "198.18.0.1", "a?", "b")},
			[]Host{onPlane(1, "198.18.0.1", "a", "b?")}, "host-1 (198.18.0.1) a b"},
		{"one does not reach it", []Host{gone(onPlane(1, "198.18.0.1", "a", "old"))}, []Host{onPlane(1, "198.18.0.1", "a")},
			"host-1 (198.18.0.1) a"},
		{"the other does not", []Host{onPlane(1, "198.18.0.1", "a")}, []Host{gone(onPlane(1, "198.18.0.1", "a", "old"))},
			"host-1 (198.18.0.1) a"},
		{"none does", []Host{gone(onPlane(1, "198.18.0.1", "a"))}, []Host{gone(onPlane(1, "198.18.0.1", "b"))},
			"host-1 (198.18.0.1) lost a b"},
	} {
		var u Union
		merged := u.Update(unionKey, NewSnapshot(tt.first...), NewSnapshot(tt.second...))
		if got := shownOf(merged.Members(unionKey)); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// A member that has not changed stays the same one, as whoever follows a network looks only at those that
// differ. A host whose name or address changes is not there twice.
func TestUnionFollowsChanges(t *testing.T) {
	var u Union
	first := NewSnapshot().With(onPlane(1, "198.18.0.1", "a")).With(onPlane(2, "198.18.0.2", "b"))
	second := NewSnapshot().With(onPlane(1, "198.18.0.1", "a"))
	before := u.Update(unionKey, first, second)
	if again := u.Update(unionKey, first, second); again.Revision(unionKey) != before.Revision(unionKey) {
		t.Error("nothing has changed, and the revision has")
	}
	second = second.With(onPlane(2, "198.18.0.2", "b")) // it moves, which says nothing new
	after := u.Update(unionKey, first, second)
	if !slices.Equal(after.Members(unionKey), before.Members(unionKey)) ||
		after.Revision(unionKey) != before.Revision(unionKey) {
		t.Error("a host that is known by both planes now counts as another")
	}
	first = first.Without(onPlane(1, "198.18.0.1")).Without(onPlane(2, "198.18.0.2")) // they have moved
	after = u.Update(unionKey, first, second)
	if !slices.Equal(after.Members(unionKey), before.Members(unionKey)) {
		t.Error("hosts that have moved count as others")
	}
	second = second.Without(onPlane(1, "198.18.0.1")).With(onPlane(1, "192.0.2.1", "a", "c"))
	second = second.Without(onPlane(2, "198.18.0.2"))
	after = u.Update(unionKey, first, second)
	if got := shownOf(after.Members(unionKey)); got != "host-1 (192.0.2.1) a c" ||
		after.Revision(unionKey) == before.Revision(unionKey) {
		t.Errorf("got %q", got)
	}
	if len(after.Hosts) != 1 {
		t.Errorf("there are %d hosts", len(after.Hosts))
	}
}

// withKeys is the host with a key of a generation, of which it has told with a version.
func withKeys(h Host, version, generation uint64) Host {
	h.Memberships = slices.Clone(h.Memberships)
	h.Memberships[0].Keys = []TunnelKey{{Generation: generation, Public: [32]byte{1}, Port: 51820, Sends: true}}
	h.Memberships[0].KeysVersion = version
	return h
}

// A host's keys are those that it has told of last, whichever plane was quicker. They do not go back as it leaves
// that plane. If it was away in between, they may: its clock may be set back.
func TestUnionHasTheLatestKeys(t *testing.T) {
	host := onPlane(1, "198.18.0.1", "a")
	earlier, later := withKeys(host, 7, 2), withKeys(host, 8, 1) // the later generation was given up
	for _, tt := range []struct {
		name  string
		steps [][2][]Host // by both planes
		want  uint64      // generation
	}{
		{"the first plane is quicker", [][2][]Host{{{later}, {earlier}}}, 1},
		{"the other one is", [][2][]Host{{{earlier}, {later}}}, 1},
		{"the first reaches the host", [][2][]Host{{{earlier}, {gone(later)}}}, 1},
		{"the other does", [][2][]Host{{{gone(later)}, {earlier}}}, 1},
		{"a version that does not say", [][2][]Host{{{withKeys(host, 0, 2)}, {withKeys(host, 0, 3)}}}, 2},
		{"the quicker plane is left", [][2][]Host{{{later}, {earlier}}, {{}, {earlier}}}, 1},
		{"the quicker plane loses the host", [][2][]Host{{{later}, {earlier}}, {{gone(host)}, {earlier}}}, 1},
		{"the host was away", [][2][]Host{{{later}, {earlier}}, {{}, {gone(earlier)}}, {{}, {earlier}}}, 2},
		{"the host has gone", [][2][]Host{{{later}, {earlier}}, {}, {{}, {earlier}}}, 2},
	} {
		var u Union
		var merged Snapshot
		for _, s := range tt.steps {
			merged = u.Update(unionKey, NewSnapshot(s[0]...), NewSnapshot(s[1]...))
		}
		members := merged.Members(unionKey)
		if len(members) != 1 || len(members[0].Keys) != 1 || members[0].Keys[0].Generation != tt.want {
			t.Errorf("%s: got %+v, want generation %d", tt.name, members, tt.want)
		}
		if !members[0].Reachable || len(members[0].Endpoints) != 1 {
			t.Errorf("%s: the member is %+v", tt.name, members[0])
		}
	}
}

func TestMissingMembers(t *testing.T) {
	members := func(hosts ...Host) []*Member { return NewSnapshot(hosts...).Members(unionKey) }
	old := members(onPlane(1, "198.18.0.1", "a", "b?"), onPlane(2, "198.18.0.2", "c"), onPlane(3, "198.18.0.3"),
		gone(onPlane(4, "198.18.0.4", "d")), onPlane(5, "198.18.0.5", "e", "f"), withKeys(onPlane(7, "198.18.0.7"), 8, 2),
		withKeys(onPlane(8, "198.18.0.8"), 8, 2))
	now := members(onPlane(1, "198.18.0.1", "a"), gone(onPlane(2, "198.18.0.2", "c")), onPlane(3, "198.18.0.3"),
		onPlane(5, "198.18.0.5", "e", "f?"), onPlane(6, "198.18.0.6"), withKeys(onPlane(7, "198.18.0.7"), 7, 1),
		withKeys(onPlane(8, "198.18.0.8"), 9, 2))
	want := "host-2 (198.18.0.2) c, host-4 (198.18.0.4) lost d, host-5 (198.18.0.5) e f, " +
		"host-7 (198.18.0.7)"
	if got := shownOf(MissingMembers(old, now)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
