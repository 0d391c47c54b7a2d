package cluster

import (
	"net/netip"
	"slices"
)

// Union is the members of one network that two planes tell of, while the network moves from one to the
// other. Whoever asks again and again gets the same members as long as nothing has changed. The zero
// value is ready for use.
type Union struct {
	first, second []*Host // that the planes had when they were asked last
	shown         map[memberKey]*Member
	merged        Snapshot
}

// memberKey is by what a member is known to be the same by both planes.
type memberKey struct {
	id   HostID
	vtep netip.Addr
}

// Update returns the members of a network by both snapshots. A member may be known to one plane alone. What
// one plane lacks of it, the other may have: it tells the planes one after the other. Where both differ, the
// first one's word holds.
func (u *Union) Update(key NetworkKey, first, second Snapshot) Snapshot {
	if u.shown != nil && slices.Equal(first.Hosts, u.first) && slices.Equal(second.Hosts, u.second) {
		return u.merged
	}
	u.first, u.second = first.Hosts, second.Hosts
	members := make(map[memberKey]*Member)
	for _, s := range []Snapshot{first, second} {
		for _, m := range s.Members(key) {
			k := memberKey{m.ID, m.VTEP}
			if before := members[k]; before != nil {
				m = mergeMembers(before, m)
			}
			members[k] = m
		}
	}
	if u.merged.Self = first.Self; u.merged.Self.IsZero() {
		u.merged.Self = second.Self
	}
	for k, m := range members {
		if before := u.shown[k]; before != nil {
			members[k] = m.withLatestKeys(before)
		}
	}
	for k, m := range u.shown {
		if now := members[k]; now == nil || now.compare(m) != 0 {
			u.merged = u.merged.Without(m.host())
		}
	}
	for k, m := range members {
		if before := u.shown[k]; before == nil || before.compare(m) != 0 || !before.equal(m) {
			u.merged = u.merged.With(m.host())
		}
	}
	u.shown = members
	return u.merged
}

// withLatestKeys returns the member with the keys of before, if those are later. So a host's keys do not go back as it
// leaves the plane that was the first to tell of them. Whoever was away may have begun anew.
func (m *Member) withLatestKeys(before *Member) *Member {
	if !m.Reachable || !before.Reachable || before.KeysVersion <= m.KeysVersion {
		return m
	}
	latest := *m
	latest.Keys, latest.KeysVersion = before.Keys, before.KeysVersion
	return &latest
}

// host returns the member as a host of this network alone.
func (m *Member) host() Host {
	return Host{ID: m.ID, Name: m.name, Addr: m.Addr, Memberships: []Membership{m.Membership},
		UnreachableSince: m.unreachableSince}
}

// mergeMembers returns what two planes say of one member. A plane that does not reach it does not know
// what it has now. Its keys are those that it has told of last, by whatever plane.
func mergeMembers(first, second *Member) *Member {
	merged := *first
	if second.Reachable && !first.Reachable {
		merged = *second
	}
	if first.Reachable == second.Reachable {
		merged.StaticFDB = first.StaticFDB && second.StaticFDB
		merged.Endpoints = mergeEndpoints(first.Endpoints, second.Endpoints)
	}
	for _, m := range []*Member{first, second} {
		if m.KeysVersion > merged.KeysVersion {
			merged.Keys, merged.KeysVersion = m.Keys, m.KeysVersion
		}
	}
	return &merged
}

// mergeEndpoints returns the endpoints of both lists, sorted as they are. A container counts more than a
// claim.
func mergeEndpoints(first, second []Endpoint) []Endpoint {
	merged := make([]Endpoint, 0, max(len(first), len(second)))
	for len(first) > 0 && len(second) > 0 {
		a, b := first[0], second[0]
		switch {
		case a.ContainerID < b.ContainerID:
			merged, first = append(merged, a), first[1:]
			continue
		case a.ContainerID > b.ContainerID:
			merged, second = append(merged, b), second[1:]
			continue
		case a.Claimed() && !b.Claimed():
			a = b
		}
		merged, first, second = append(merged, a), first[1:], second[1:]
	}
	return append(append(merged, first...), second...)
}

// MissingMembers returns the members of a network that one plane tells of and the other does not reach, or not
// with all of their containers and latest keys. They have not moved to the other plane, or are about to.
func MissingMembers(one, other []*Member) (missing []*Member) {
	there := make(map[memberKey]*Member)
	for _, m := range other {
		if m.Reachable {
			there[memberKey{m.ID, m.VTEP}] = m
		}
	}
	for _, m := range one {
		if found := there[memberKey{m.ID, m.VTEP}]; found == nil || found.KeysVersion < m.KeysVersion ||
			found.lacks(m.Endpoints) {
			missing = append(missing, m)
		}
	}
	return missing
}

// lacks tells whether one of the containers is not the member's.
func (m *Member) lacks(endpoints []Endpoint) bool {
	have := make(map[string]bool, len(m.Endpoints))
	for _, e := range m.Endpoints {
		have[e.ContainerID] = !e.Claimed()
	}
	return slices.ContainsFunc(endpoints, func(e Endpoint) bool { return !e.Claimed() && !have[e.ContainerID] })
}
