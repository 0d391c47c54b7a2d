package cluster

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
)

// randomHost has a part in some of four networks.
func randomHost(rnd *rand.Rand, id byte) Host {
	h := Host{ID: HostID{id}, Name: string(rune('a' + rnd.IntN(3))), Addr: netip.AddrFrom4([4]byte{198, 18, 0, id})}
	if rnd.IntN(4) == 0 {
		h.UnreachableSince = time.Unix(1, 0)
	}
	for vni := range uint32(4) {
		if rnd.IntN(2) == 0 {
			m := validMembership()
			m.Network.VNI = vni + 1
			m.Endpoints = m.Endpoints[:rnd.IntN(3)]
			h.Memberships = append(h.Memberships, m)
		}
	}
	return h
}

// Whatever comes and goes: a snapshot that was made step by step has what one of the same hosts
// has, members that say the same are the same, and older snapshots stay as they were.
func TestSnapshotMadeStepByStep(t *testing.T) {
	rnd := rand.New(rand.NewPCG(21, 22))
	for range 50 {
		var s Snapshot
		hosts := map[byte]Host{}
		for range 40 {
			id, before := byte(rnd.IntN(6)), s
			was := printMembers(before)
			if old, known := hosts[id]; known {
				s = s.Without(old)
				delete(hosts, id)
			}
			if rnd.IntN(3) > 0 {
				hosts[id] = randomHost(rnd, id)
				s = s.With(hosts[id])
				s = s.With(hosts[id]) // nothing new
			}
			var all []Host
			for _, h := range hosts {
				all = append(all, h)
			}
			slices.SortFunc(all, Host.Compare)
			want := NewSnapshot(all...)
			if len(all)+len(s.Hosts) > 0 && !reflect.DeepEqual(s.Hosts, want.Hosts) {
				t.Fatalf("hosts %+v, want %+v", s.Hosts, all)
			}
			if got, want := printMembers(s), printMembers(want); !reflect.DeepEqual(got, want) {
				t.Fatalf("members %+v, want %+v", got, want)
			}
			if !reflect.DeepEqual(printMembers(before), was) {
				t.Fatal("a snapshot has changed")
			}
			for vni := range uint32(4) {
				key := NetworkKey{VNI: vni + 1, Port: validMembership().Network.Port}
				same := slices.Equal(before.Members(key), s.Members(key))
				if same != (before.Revision(key) == s.Revision(key)) {
					t.Fatalf("network %v: the members are the same: %v; revisions %v, %v", key, same, before.Revision(key), s.Revision(key))
				}
			}
		}
	}
}

func printMembers(s Snapshot) (all []Member) {
	for vni := range uint32(4) {
		for _, m := range s.Members(NetworkKey{VNI: vni + 1, Port: validMembership().Network.Port}) {
			all = append(all, *m)
		}
	}
	return all
}

// A host that says something new about one network is the same member of the others.
func TestNewsOfOneNetworkLeavesTheOthers(t *testing.T) {
	a, b := validMembership(), validMembership()
	b.Network.VNI = 7
	h := Host{ID: HostID{1}, Name: "a", Memberships: []Membership{a, b}}
	before := Snapshot{}.With(h)
	changed := validMembership()
	changed.Endpoints = changed.Endpoints[:1]
	h.Memberships = []Membership{changed, b}
	after := before.With(h)
	if before.Revision(b.Network) != after.Revision(b.Network) || before.Members(b.Network)[0] != after.Members(b.Network)[0] {
		t.Error("the other network has changed")
	}
	other := Snapshot{}.With(h)
	if before.Revision(b.Network) == other.Revision(b.Network) {
		t.Error("snapshots of two planes have one revision")
	}
	if before.Revision(a.Network) == after.Revision(a.Network) || before.Members(a.Network)[0] == after.Members(a.Network)[0] {
		t.Error("the network has not changed")
	}
	gone, come := ChangedMembers(before.Members(a.Network), after.Members(a.Network))
	if len(gone) != 1 || len(come) != 1 || len(come[0].Endpoints) != 1 {
		t.Errorf("gone %+v, come %+v", gone, come)
	}
}

// Two memberships are equal only if they are in every field, also in one that is added later.
func TestEveryFieldMakesAMembershipAnother(t *testing.T) {
	m := validMembership()
	m.View.Name = "blue"
	eachField(t, reflect.ValueOf(m), func(changed reflect.Value) bool {
		o := changed.Interface().(Membership)
		return m.equal(&o)
	})
	eachField(t, reflect.ValueOf(m.View), func(changed reflect.Value) bool { return m.View.Equal(changed.Interface().(NetworkView)) })
	eachField(t, reflect.ValueOf(m.Endpoints[0]), func(changed reflect.Value) bool { return m.Endpoints[0].Equal(changed.Interface().(Endpoint)) })
}

// eachField changes one field after the other.
func eachField(t *testing.T, v reflect.Value, isEqual func(reflect.Value) bool) {
	t.Helper()
	for i := range v.NumField() {
		changed := reflect.New(v.Type()).Elem()
		changed.Set(v)
		if !isEqual(changed) {
			t.Fatalf("%v is not equal to itself", v.Type())
		}
		switch f := changed.Field(i); {
		case f.Kind() == reflect.Slice:
			f.Set(reflect.Append(f.Slice3(0, f.Len(), f.Len()), reflect.Zero(f.Type().Elem())))
		case f.IsZero() && f.Kind() == reflect.Bool:
			f.SetBool(true)
		case f.IsZero() && f.CanUint():
			f.SetUint(1)
		case f.IsZero() && f.Kind() == reflect.Array:
			f.Index(0).SetUint(1)
		case f.IsZero():
			t.Fatalf("%v.%s: cannot be changed by this test", v.Type(), v.Type().Field(i).Name)
		default:
			f.SetZero()
		}
		if isEqual(changed) {
			t.Errorf("%v.%s makes no difference", v.Type(), v.Type().Field(i).Name)
		}
	}
}

func TestSnapshotKeepsSelf(t *testing.T) {
	h := Host{ID: HostID{2}, Name: "b", Addr: mustAddr("198.18.0.2"), Memberships: []Membership{validMembership()}}
	s := Snapshot{Self: HostID{1}}
	if with := s.With(h); with.Self != s.Self || with.Without(h).Self != s.Self {
		t.Errorf("with a host %v, without it again %v, want %v", with.Self, with.Without(h).Self, s.Self)
	}
}
