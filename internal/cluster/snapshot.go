package cluster

import (
	"bytes"
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Snapshot has all other hosts, sorted by Compare. It is shared and must not be changed. With and
// Without return other snapshots, which share with it all that is the same in both. So a comparison
// of two snapshots costs only what differs.
type Snapshot struct {
	// Hosts are pointers, as a thousand hosts are copied for each record that comes.
	Hosts []*Host
	// Self is the ID of the host that took the snapshot; zero where the plane knows none. A host of
	// the same ID is this one as it was before its address changed, or by another of its addresses.
	Self HostID
	// Sequence grows with each record that comes. See Plane.Acknowledge.
	Sequence uint64

	last     Revision                      // change that led here
	networks map[NetworkKey]networkMembers // nil where Hosts were set by hand
}

// Revision tells one state of a network's members from another. The zero value is one of which
// nothing is known.
type Revision struct {
	// origin is that of the first of the snapshots that were made one from the other: another plane
	// counts anew. It has a byte, as all pointers to nothing may be the same.
	origin *byte
	change uint64
}

// next returns the revision after r.
func (r Revision) next() Revision {
	if r.origin == nil {
		r.origin = new(byte)
	}
	r.change++
	return r
}

// networkMembers are the hosts of one network.
type networkMembers struct {
	revision Revision
	members  []*Member // sorted by host
}

// Member is a host with its membership of one network. It does not change.
type Member struct {
	ID        HostID
	Addr      netip.Addr // where its agent listens
	Host      string     // the host's label
	Reachable bool
	Membership

	name             string    // the host's
	unreachableSince time.Time // the host's
}

func newMember(h Host, m Membership) *Member {
	return &Member{ID: h.ID, Addr: h.Addr, Host: h.Label(), Reachable: h.Reachable(), Membership: m, name: h.Name,
		unreachableSince: h.UnreachableSince}
}

// compare orders members as their hosts.
func (m *Member) compare(o *Member) int {
	return cmp.Or(cmp.Compare(m.name, o.name), m.Addr.Compare(o.Addr), bytes.Compare(m.ID[:], o.ID[:]))
}

// NewSnapshot returns the snapshot of hosts, which are in order. It is for tests: planes keep theirs
// by With and Without.
func NewSnapshot(hosts ...Host) (s Snapshot) {
	for _, h := range hosts {
		s.Hosts = append(s.Hosts, &h)
	}
	return s
}

// Find returns the first host with the name.
func (s Snapshot) Find(name string) (Host, bool) {
	i, ok := slices.BinarySearchFunc(s.Hosts, name, func(h *Host, n string) int { return cmp.Compare(h.Name, n) })
	if !ok {
		return Host{}, false
	}
	return *s.Hosts[i], true
}

// Members returns the hosts that announce a membership of a network, sorted as hosts are. A host
// does so while it has a container there. Unreachable hosts are included. A member that is the same
// in two snapshots has not changed. The list must not be changed.
func (s Snapshot) Members(key NetworkKey) []*Member { return s.indexed()[key].members }

// Revision is another one whenever the members of a network have changed. It is zero if there are
// none, or if Hosts were set by hand.
func (s Snapshot) Revision(key NetworkKey) Revision { return s.networks[key].revision }

// search returns where a host is, or belongs.
func (s Snapshot) search(h Host) (i int, known bool) {
	return slices.BinarySearchFunc(s.Hosts, h, func(have *Host, h Host) int { return have.Compare(h) })
}

// With returns the snapshot with a host added, or replaced by one that compares as equal.
func (s Snapshot) With(h Host) Snapshot {
	i, known := s.search(h)
	var before []Membership
	hosts := slices.Clone(s.Hosts)
	if known {
		before = hosts[i].Memberships
		hosts[i] = &h
	} else {
		hosts = slices.Insert(hosts, i, &h)
	}
	return s.withMembers(hosts, h, before)
}

// Without returns the snapshot without a host.
func (s Snapshot) Without(h Host) Snapshot {
	i, known := s.search(h)
	if !known {
		return s
	}
	before := s.Hosts[i].Memberships
	h.Memberships = nil
	return s.withMembers(slices.Delete(slices.Clone(s.Hosts), i, i+1), h, before)
}

// withMembers returns the snapshot with hosts, of which the one that is given has changed.
func (s Snapshot) withMembers(hosts []*Host, changed Host, before []Membership) Snapshot {
	next := Snapshot{Hosts: hosts, Self: s.Self, Sequence: s.Sequence, last: s.last.next(),
		networks: maps.Clone(s.indexed())}
	for _, m := range before {
		if !slices.ContainsFunc(changed.Memberships, func(o Membership) bool { return o.Network == m.Network }) {
			next.removeMember(newMember(changed, m))
		}
	}
	for _, m := range changed.Memberships {
		next.setMember(newMember(changed, m))
	}
	return next
}

// setMember sets a host's membership of a network. One that says the same as before stays.
func (s *Snapshot) setMember(m *Member) {
	members := s.networks[m.Network].members
	i, known := slices.BinarySearchFunc(members, m, (*Member).compare)
	switch {
	case known && m.equal(members[i]):
		return
	case known:
		members = slices.Clone(members)
		members[i] = m
	default:
		members = slices.Insert(slices.Clone(members), i, m)
	}
	s.networks[m.Network] = networkMembers{s.last, members}
}

func (s *Snapshot) removeMember(m *Member) {
	members := s.networks[m.Network].members
	if len(members) == 1 {
		delete(s.networks, m.Network)
	} else if i, known := slices.BinarySearchFunc(members, m, (*Member).compare); known {
		s.networks[m.Network] = networkMembers{s.last, slices.Delete(slices.Clone(members), i, i+1)}
	}
}

// indexed returns the members by network. A snapshot that was made of hosts alone has no index yet.
func (s Snapshot) indexed() map[NetworkKey]networkMembers {
	if s.networks != nil {
		return s.networks
	}
	networks := make(map[NetworkKey]networkMembers)
	for _, h := range s.Hosts {
		for _, m := range h.Memberships {
			members := append(networks[m.Network].members, newMember(*h, m))
			networks[m.Network] = networkMembers{members: members}
		}
	}
	return networks
}

func (m *Member) equal(o *Member) bool {
	return m.Reachable == o.Reachable && m.Membership.equal(&o.Membership)
}

func (m *Membership) equal(o *Membership) bool {
	return m.Network == o.Network && m.VTEP == o.VTEP && m.StaticFDB == o.StaticFDB && m.BridgeMAC == o.BridgeMAC &&
		slices.Equal(m.HostAddrs, o.HostAddrs) &&
		m.View.Equal(o.View) && slices.Equal(m.Keys, o.Keys) && m.KeysVersion == o.KeysVersion &&
		slices.EqualFunc(m.Endpoints, o.Endpoints, Endpoint.Equal)
}

// Equal tells whether two hosts were told the same.
func (v NetworkView) Equal(o NetworkView) bool {
	return v.Name == o.Name && v.MTU == o.MTU && v.UnderlayMTU == o.UnderlayMTU && v.List == o.List &&
		slices.Equal(v.Subnets, o.Subnets) && slices.Equal(v.Listed, o.Listed)
}

// Equal tells whether two endpoints are the same in all that is said of them.
func (e Endpoint) Equal(o Endpoint) bool {
	return e.ContainerID == o.ContainerID && e.MAC == o.MAC && e.Requested == o.Requested && e.Granted == o.Granted &&
		slices.Equal(e.Names, o.Names) && slices.Equal(e.Addrs, o.Addrs)
}

// ChangedMembers returns the members of before that are not in after, and the other way round. Both
// are sorted as hosts are.
func ChangedMembers(before, after []*Member) (gone, come []*Member) {
	for len(before) > 0 || len(after) > 0 {
		order := 0
		switch {
		case len(after) == 0:
			order = -1
		case len(before) == 0:
			order = 1
		case before[0] != after[0]:
			order = before[0].compare(after[0])
			if order == 0 {
				gone, come = append(gone, before[0]), append(come, after[0])
			}
		}
		if order < 0 {
			gone = append(gone, before[0])
		}
		if order > 0 {
			come = append(come, after[0])
		}
		if order <= 0 {
			before = before[1:]
		}
		if order >= 0 {
			after = after[1:]
		}
	}
	return gone, come
}
