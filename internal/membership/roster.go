package membership

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
)

// Roster is the members of a network as they were last seen, with what follows from them: what is
// forwarded to them and which names they have. An update costs what has changed since the one
// before. Whatever the updates were, the result is that of a new Roster that was updated once.
//
// What is said of a host depends on others too: two may have one MAC or address. Remotes tells
// which.
type Roster struct {
	self     cluster.HostID   // this host
	revision cluster.Revision // of the members
	list     MemberList
	members  []*cluster.Member
	hosts    map[string]*rosterHost // by keyOf; "" has the listed hosts' bridges
	inOrder  []*rosterHost          // those of the members; nil: to be found anew
	names    []*dns.RecordGroup     // those of inOrder
	sharing  int                    // how many names are shared with this host
	remotes  *plan.Remotes
	network  Network // without what members follow from
	listed   []netip.Addr
	local    map[netip.Addr]bool // addresses that no other host's container can have
	own      map[string]bool     // names of this host's containers
}

// rosterHost is what follows from one member.
type rosterHost struct {
	member  *cluster.Member // nil for listed hosts
	remotes []*plan.Remote
	names   *dns.RecordGroup // nil while the host cannot be reached
	place   int              // in Roster.inOrder
	shared  []MemberEndpoint // containers that have the name of one of this host
}

// NewRoster returns the roster of a network in a snapshot.
func NewRoster(n Network, s cluster.Snapshot) *Roster {
	r := new(Roster)
	r.Update(n, s)
	return r
}

// Update makes the roster that of a snapshot. It names the forwarding entries that may have
// changed, or says that all may have.
func (r *Roster) Update(n Network, s cluster.Snapshot) (changed kernel.ForwardingKeys, all bool) {
	before := r.network
	r.network = withoutHosts(n)
	if r.hosts == nil || r.self != s.Self || !sameButEndpoints(before, r.network) {
		*r = Roster{
			self: s.Self, network: r.network, local: localAddrs(n), own: ownNames(n),
			hosts: make(map[string]*rosterHost), remotes: new(plan.Remotes),
		}
		r.update(n, s)
		return kernel.ForwardingKeys{}, true
	}
	came, went := changedEndpoints(before.Endpoints, n.Endpoints)
	if len(came)+len(went) > 0 {
		r.local, r.own = localAddrs(n), ownNames(n)
		for _, h := range r.hosts {
			r.updateShared(h)
		}
	}
	keys := r.update(n, s)
	for _, e := range slices.Concat(came, went) {
		keys = append(keys, r.remotes.KeysOfMAC(e.MAC), kernel.ForwardingKeys{Addrs: AddrsOf(e)})
		for _, a := range AddrsOf(e) {
			r.updateNamesAt(a)
		}
	}
	keys = append(keys, r.keysOfRivals(keys)...)
	for _, k := range keys {
		changed.MACs, changed.Addrs = append(changed.MACs, k.MACs...), append(changed.Addrs, k.Addrs...)
	}
	return plan.SortKeys(changed.MACs, changed.Addrs), false
}

// keysOfRivals names the entries of the MACs of this host's containers whose addresses are named:
// whose such a MAC is depends on who keeps the address.
func (r *Roster) keysOfRivals(named []kernel.ForwardingKeys) (keys []kernel.ForwardingKeys) {
	isNamed := make(map[netip.Addr]bool)
	for _, k := range named {
		for _, a := range k.Addrs {
			isNamed[a] = true
		}
	}
	for _, e := range r.network.Endpoints {
		if slices.ContainsFunc(AddrsOf(e), func(a netip.Addr) bool { return isNamed[a] }) {
			keys = append(keys, r.remotes.KeysOfMAC(e.MAC))
		}
	}
	return keys
}

// update follows the members and the list.
func (r *Roster) update(n Network, s cluster.Snapshot) (keys []kernel.ForwardingKeys) {
	revision := s.Revision(n.Key())
	if revision != (cluster.Revision{}) && revision == r.revision && slices.Equal(r.listed, n.listed()) {
		return nil
	}
	r.revision = revision
	members := r.list.Update(n, s)
	gone, come := cluster.ChangedMembers(r.members, members)
	r.members = members
	changed := make(map[string]*cluster.Member)
	for _, m := range gone {
		changed[keyOf(m)] = nil
	}
	for _, m := range come {
		changed[keyOf(m)] = m
	}
	for host, m := range changed {
		of := r.setHost(host, m)
		r.updateRivals(host, of)
		keys = append(keys, of...)
	}
	if r.inOrder == nil || !sameOrder(gone, come) {
		r.updateOrder()
	}
	if !slices.Equal(r.listed, n.listed()) {
		r.listed = n.listed()
		keys = append(keys, r.setRemotes("", listedBridges(n))...)
	}
	return keys
}

// setHost follows one member, nil if it is none any more.
func (r *Roster) setHost(host string, m *cluster.Member) []kernel.ForwardingKeys {
	var before []*plan.Remote
	if h := r.hosts[host]; h != nil {
		before = h.remotes
	}
	keys := r.setRemotes(host, remotesOf(m, r.network.VTEP.StaticFDB, before))
	h := r.hosts[host]
	if m == nil {
		r.sharing -= len(h.shared)
		delete(r.hosts, host)
		return keys
	}
	earlier := earlierRecordsOf(h, keys)
	h.member = m
	r.setNames(h, earlier)
	r.updateShared(h)
	return keys
}

// sameOrder tells whether each member that has gone was replaced by one in the same place.
func sameOrder(gone, come []*cluster.Member) bool {
	return slices.EqualFunc(gone, come, func(g, c *cluster.Member) bool {
		return g.Addr == c.Addr && keyOf(g) == keyOf(c)
	})
}

// updateOrder puts the hosts in the order of the members.
func (r *Roster) updateOrder() {
	r.inOrder, r.names = make([]*rosterHost, 0, len(r.members)), make([]*dns.RecordGroup, 0, len(r.members))
	for i, m := range r.members {
		h := r.hosts[keyOf(m)]
		h.place = i
		r.inOrder, r.names = append(r.inOrder, h), append(r.names, h.names)
	}
}

// isLocal tells whether no other host's container can have an address. One that a container of this
// host cedes can be another's.
func (r *Roster) isLocal(a netip.Addr) bool {
	if !r.local[a] {
		return false
	}
	i := slices.IndexFunc(r.network.Endpoints, func(e *network.Endpoint) bool { return slices.Contains(AddrsOf(e), a) })
	return i < 0 || !r.cedes(r.network.Endpoints[i], a)
}

// updateRivals finds the names anew of other hosts that have one of the addresses.
func (r *Roster) updateRivals(host string, keys []kernel.ForwardingKeys) {
	for _, k := range keys {
		for _, a := range k.Addrs {
			for _, one := range r.remotes.At(a) {
				if h := r.hosts[one.Trust.Host]; h != nil && one.Trust.Host != host {
					r.updateNames(h)
				}
			}
		}
	}
}

// setRemotes replaces what a host has by what it has now, as far as that differs.
func (r *Roster) setRemotes(host string, now []*plan.Remote) (keys []kernel.ForwardingKeys) {
	h := r.hosts[host]
	if h == nil {
		h = new(rosterHost)
		r.hosts[host] = h
	}
	first, last := commonEnds(h.remotes, now, sameRemote)
	for _, one := range h.remotes[first : len(h.remotes)-last] {
		r.remotes.Remove(one)
		keys = append(keys, r.remotes.KeysOf(one))
	}
	for _, one := range now[first : len(now)-last] {
		r.remotes.Add(one)
		keys = append(keys, r.remotes.KeysOf(one))
	}
	h.remotes = slices.Concat(h.remotes[:first], now[first:len(now)-last], h.remotes[len(h.remotes)-last:])
	return keys
}

// updateShared finds which of a member's containers have the name of one of this host.
func (r *Roster) updateShared(h *rosterHost) {
	r.sharing -= len(h.shared)
	defer func() { r.sharing += len(h.shared) }()
	if h.shared = nil; h.member == nil || !h.member.Reachable {
		return
	}
	for _, e := range h.member.Endpoints {
		if len(e.Names) > 0 && r.own[strings.ToLower(e.Names[0])] && !r.isOwnContainer(h.member, e) {
			h.shared = append(h.shared, MemberEndpoint{h.member, e})
		}
	}
}

// isOwnContainer tells whether what a member says of a container is what this host said of one of its
// own before its address changed.
func (r *Roster) isOwnContainer(m *cluster.Member, e cluster.Endpoint) bool {
	_, isOwn := r.network.Endpoint(e.ContainerID)
	return isOwn && m.ID.Matches(r.self)
}

// keyOf tells members apart: by what orders them for people, and the id.
func keyOf(m *cluster.Member) string { return m.Host + string(m.ID[:]) }

// Remotes are what the members have.
func (r *Roster) Remotes() *plan.Remotes { return r.remotes }

// Members are the network's, as Network.Members returned them.
func (r *Roster) Members() []*cluster.Member { return r.members }

// SharedNames returns the containers of reachable hosts that have the name of one of this host.
func (r *Roster) SharedNames() (all []MemberEndpoint) {
	if r.sharing == 0 {
		return nil
	}
	for _, h := range r.inOrder {
		all = append(all, h.shared...)
	}
	return all
}

// endpointsAt returns the endpoints of members that have an address, in order of trust.
func (r *Roster) endpointsAt(a netip.Addr) (found []MemberEndpoint) {
	for _, one := range r.remotes.At(a) {
		h := r.hosts[one.Trust.Host]
		if h == nil || h.member == nil {
			continue
		}
		for _, e := range h.member.Endpoints {
			if slices.Contains(e.Addrs, a) {
				found = append(found, MemberEndpoint{h.member, e})
			}
		}
	}
	return found
}

// MemberEndpoint is a container of another host.
type MemberEndpoint struct {
	*cluster.Member
	cluster.Endpoint
}

// withoutHosts drops what members follow from. The rest is all that a roster depends on.
func withoutHosts(n Network) Network {
	n.Network.Remotes, n.VTEP.Remotes, n.VTEP.Listed, n.VTEP.Flood = nil, nil, nil, nil
	n.VTEP.Own, n.VTEP.WireGuardAddrs = nil, nil
	return n
}

func sameButEndpoints(a, b Network) bool {
	return reflect.DeepEqual(a.Network, b.Network) && reflect.DeepEqual(a.VTEP, b.VTEP)
}

// changedEndpoints compares the containers of this host. One whose record was not replaced is the
// same.
func changedEndpoints(before, now []*network.Endpoint) (came, went []*network.Endpoint) {
	rest := make(map[*network.Endpoint]bool, len(before))
	for _, e := range before {
		rest[e] = true
	}
	for _, e := range now {
		if !rest[e] {
			came = append(came, e)
		}
		delete(rest, e)
	}
	return came, slices.Collect(maps.Keys(rest))
}

func sameRemote(a, b *plan.Remote) bool {
	return a.MAC == b.MAC && a.VTEP == b.VTEP && a.Trust == b.Trust && slices.Equal(a.Addrs, b.Addrs)
}

// commonEnds returns how many elements two lists have in common at their beginning, and how many of
// the rest at their end. Lists of one host differ in few, which are next to each other.
func commonEnds[E any](a, b []E, same func(x, y E) bool) (first, last int) {
	for first < min(len(a), len(b)) && same(a[first], b[first]) {
		first++
	}
	for last < min(len(a), len(b))-first && same(a[len(a)-1-last], b[len(b)-1-last]) {
		last++
	}
	return first, last
}
