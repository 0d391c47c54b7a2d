package dns

import (
	"iter"
	"net/netip"
	"slices"
)

// SearchDomain is the domain that Podman puts into a container's resolv.conf. So web and
// web.dns.podman are the same name.
const SearchDomain = "dns.podman"

// Port is where containers send queries: resolv.conf(5) cannot name another port.
const Port = 53

// Zone is one network on this host: where its resolver listens, and its records.
type Zone struct {
	// Network is the zone's unique name, also in logs and errors.
	Network string
	// Device is the network's bridge. Sockets are bound to it, so that the resolver cannot be
	// reached from another network or the underlay. The host can reach it.
	Device string
	// Addrs are the addresses to listen on. The bridge need not have them yet.
	Addrs []netip.Addr
	// Port to listen on; 0 is 53.
	Port uint16
	// Subnets are the network's. Reverse lookups in them are never forwarded.
	Subnets []netip.Prefix
	// Records are the network's containers on this host.
	Records []Record
	// Remote has those of the other hosts. A group that is the same pointer has not changed, so a
	// Set costs only what has.
	Remote []*RecordGroup
	// Upstreams are the name servers for names outside, in order of preference. Without any, nobody
	// knows whether such a name exists, and the answer is SERVFAIL.
	Upstreams []netip.AddrPort
	// Internal is set where other names do not exist, and Upstreams are not asked.
	Internal bool
	// Elsewhere returns the name servers of a container that is on a network besides the zones, if
	// any. It is asked for containers with an ID that are on internal networks only.
	Elsewhere func(id string) []netip.AddrPort
}

// Record is a container's names and addresses on a network.
type Record struct {
	// ID identifies a container of this host in all of its zones; "" on other hosts.
	ID string
	// Names are the container's name, its aliases and the first 12 digits of its id. Reverse
	// lookups list them in this order. Names that DNS cannot carry are left out.
	Names []string
	Addrs []netip.Addr
}

// Equal tells whether two records are the same.
func (r Record) Equal(o Record) bool {
	return r.ID == o.ID && slices.Equal(r.Names, o.Names) && slices.Equal(r.Addrs, o.Addrs)
}

// forwardsAlike tells whether two zones answer alike for all names that no record has.
func (z Zone) forwardsAlike(other Zone) bool {
	return z.Internal == other.Internal && slices.Equal(z.Subnets, other.Subnets) &&
		slices.Equal(z.Upstreams, other.Upstreams)
}

// RecordGroup is the records of another host. It must not be changed.
type RecordGroup struct{ Records []Record }

// allRecords returns those of this host and of the others.
func (z Zone) allRecords() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for _, group := range append([]*RecordGroup{{z.Records}}, z.Remote...) {
			for _, r := range group.Records {
				if !yield(r) {
					return
				}
			}
		}
	}
}

// changedRecords returns what leads from the records of z to those of another zone. Of a list that
// has changed only the part between its common ends is looked at: usually one container has come or
// gone.
func (z Zone) changedRecords(next Zone) (gone, come []Record) {
	compare := func(before, now []Record) {
		first, last := commonEnds(before, now)
		gone, come = append(gone, before[first:len(before)-last]...), append(come, now[first:len(now)-last]...)
	}
	compare(z.Records, next.Records)
	goneGroups, comeGroups := changedGroups(z.Remote, next.Remote)
	for i := range max(len(goneGroups), len(comeGroups)) {
		var before, now []Record
		if i < len(goneGroups) {
			before = goneGroups[i].Records
		}
		if i < len(comeGroups) {
			now = comeGroups[i].Records
		}
		compare(before, now)
	}
	return gone, come
}

// changedGroups returns the groups that are in one list only.
func changedGroups(before, now []*RecordGroup) (gone, come []*RecordGroup) {
	if len(before) == len(now) {
		before, now = replacedGroups(before, now)
	}
	rest := make(map[*RecordGroup]bool, len(before))
	for _, g := range before {
		rest[g] = true
	}
	for _, g := range now {
		if !rest[g] {
			come = append(come, g)
		}
		delete(rest, g)
	}
	for _, g := range before {
		if rest[g] {
			gone = append(gone, g)
		}
	}
	return gone, come
}

// replacedGroups returns the groups of two lists that are at a place where the other list has
// another one. Mostly no host has come or gone, so these are few of a thousand.
func replacedGroups(before, now []*RecordGroup) (old, others []*RecordGroup) {
	for i := range before {
		if before[i] != now[i] {
			old, others = append(old, before[i]), append(others, now[i])
		}
	}
	return old, others
}

func commonEnds(a, b []Record) (first, last int) {
	for first < min(len(a), len(b)) && a[first].Equal(b[first]) {
		first++
	}
	for last < min(len(a), len(b))-first && a[len(a)-1-last].Equal(b[len(b)-1-last]) {
		last++
	}
	return first, last
}

// Listening is an open pair of sockets, UDP and TCP. If Port is not 53, the caller must redirect
// packets from Device to port 53 of Addr to it.
type Listening struct {
	Network string
	Device  string
	Addr    netip.Addr
	Port    uint16
}

// ZoneError says why the names of a network are not answered.
type ZoneError struct {
	Network string
	Err     error
}

// Error returns the error of the zone.
func (e ZoneError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the zone.
func (e ZoneError) Unwrap() error { return e.Err }
