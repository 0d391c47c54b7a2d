package cluster

import (
	"cmp"
	"maps"
	"slices"
)

// Snapshot has all other hosts, sorted by name. It is shared and must not be changed. With and
// Without return others, which share with it all that is the same in both. So two snapshots are
// compared by the cost of what differs.
type Snapshot struct {
	Hosts []Host
	// Sequence grows with each record that comes. See Plane.Acknowledge.
	Sequence uint64

	changes  uint64
	networks map[NetworkKey]networkMembers // nil where Hosts were set by hand
}

// networkMembers are the hosts of one network.
type networkMembers struct {
	revision uint64
	members  []*Member // sorted by host
}

// Member is a host with its membership of one network. It does not change.
type Member struct {
	Host      string
	Reachable bool
	Membership
}

// NewSnapshot returns a snapshot of hosts.
func NewSnapshot(hosts ...Host) (s Snapshot) {
	for _, h := range hosts {
		s = s.With(h)
	}
	return s
}

// Find returns the host with the name.
func (s Snapshot) Find(name string) (Host, bool) {
	if i, ok := s.search(name); ok {
		return s.Hosts[i], true
	}
	return Host{}, false
}

func (s Snapshot) search(name string) (int, bool) {
	return slices.BinarySearchFunc(s.Hosts, name, func(h Host, n string) int { return cmp.Compare(h.Name, n) })
}

// Members returns the hosts that announce a membership of a network, sorted by name. A host does so
// while it has a container there. Unreachable hosts are included. A member that is the same in two
// snapshots has not changed. The list must not be changed.
func (s Snapshot) Members(key NetworkKey) []*Member { return s.indexed()[key].members }

// Revision is another one whenever the members of a network have changed, in snapshots that were
// made one from the other. It is 0 if there are none, or if that is not known.
func (s Snapshot) Revision(key NetworkKey) uint64 { return s.networks[key].revision }

// With returns the snapshot with a host added or replaced.
func (s Snapshot) With(h Host) Snapshot {
	i, known := s.search(h.Name)
	var before []Membership
	hosts := slices.Clone(s.Hosts)
	if known {
		before = hosts[i].Memberships
		hosts[i] = h
	} else {
		hosts = slices.Insert(hosts, i, h)
	}
	return s.withMembers(hosts, h, before)
}

// Without returns the snapshot without a host.
func (s Snapshot) Without(name string) Snapshot {
	i, known := s.search(name)
	if !known {
		return s
	}
	before := s.Hosts[i].Memberships
	return s.withMembers(slices.Delete(slices.Clone(s.Hosts), i, i+1), Host{Name: name}, before)
}

// withMembers returns the snapshot with hosts, of which the one that is given has changed.
func (s Snapshot) withMembers(hosts []Host, changed Host, before []Membership) Snapshot {
	next := Snapshot{Hosts: hosts, Sequence: s.Sequence, changes: s.changes + 1, networks: maps.Clone(s.indexed())}
	for _, m := range before {
		if !slices.ContainsFunc(changed.Memberships, func(o Membership) bool { return o.Network == m.Network }) {
			next.replaceMember(m.Network, changed.Name, nil)
		}
	}
	for _, m := range changed.Memberships {
		next.replaceMember(m.Network, changed.Name, &Member{Host: changed.Name, Reachable: changed.Reachable(), Membership: m})
	}
	return next
}

// replaceMember sets a host's membership of a network, nil for none. One that says the same as
// before stays.
func (s *Snapshot) replaceMember(key NetworkKey, host string, m *Member) {
	members := s.networks[key].members
	i, known := slices.BinarySearchFunc(members, host, func(m *Member, host string) int { return cmp.Compare(m.Host, host) })
	switch {
	case m == nil && !known, m != nil && known && m.equal(members[i]):
		return
	case m == nil && len(members) == 1:
		delete(s.networks, key)
		return
	case m == nil:
		members = slices.Delete(slices.Clone(members), i, i+1)
	case known:
		members = slices.Clone(members)
		members[i] = m
	default:
		members = slices.Insert(slices.Clone(members), i, m)
	}
	s.networks[key] = networkMembers{s.changes, members}
}

// indexed returns the members of all networks.
func (s Snapshot) indexed() map[NetworkKey]networkMembers {
	if s.networks != nil {
		return s.networks
	}
	networks := make(map[NetworkKey]networkMembers)
	for _, h := range s.Hosts {
		for _, m := range h.Memberships {
			members := append(networks[m.Network].members, &Member{Host: h.Name, Reachable: h.Reachable(), Membership: m})
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
		slices.Equal(m.HostAddrs, o.HostAddrs) && slices.Equal(m.FormerVTEPs, o.FormerVTEPs) &&
		m.View.Equal(o.View) && slices.EqualFunc(m.Endpoints, o.Endpoints, Endpoint.Equal)
}

// Equal tells whether two hosts were told the same.
func (v NetworkView) Equal(o NetworkView) bool {
	return v.Name == o.Name && v.MTU == o.MTU && v.UnderlayMTU == o.UnderlayMTU && v.List == o.List &&
		slices.Equal(v.Subnets, o.Subnets) && slices.Equal(v.Listed, o.Listed)
}

// Equal tells whether two endpoints are the same in all that is said of them.
func (e Endpoint) Equal(o Endpoint) bool {
	return e.ContainerID == o.ContainerID && e.MAC == o.MAC && slices.Equal(e.Names, o.Names) && slices.Equal(e.Addrs, o.Addrs)
}

// ChangedMembers returns the members of before that are not in after, and the other way round. Both
// are sorted by host.
func ChangedMembers(before, after []*Member) (gone, come []*Member) {
	for len(before) > 0 || len(after) > 0 {
		switch {
		case len(after) == 0 || len(before) > 0 && before[0].Host < after[0].Host:
			gone, before = append(gone, before[0]), before[1:]
		case len(before) == 0 || before[0].Host > after[0].Host:
			come, after = append(come, after[0]), after[1:]
		default:
			if before[0] != after[0] {
				gone, come = append(gone, before[0]), append(come, after[0])
			}
			before, after = before[1:], after[1:]
		}
	}
	return gone, come
}
