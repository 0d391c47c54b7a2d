package agent

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"

	"vxlan-driver/internal/addrclaim"
	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/encryption"
	"vxlan-driver/internal/hoststate"
	"vxlan-driver/internal/membership"
	"vxlan-driver/internal/network"
)

// peerTracker records what is known of the other hosts of this host's networks.
type peerTracker struct {
	clusters  *clusterSet
	claims    *addrclaim.Claims
	agentPort uint16
	// encryption knows by which devices encrypted networks' packets leave; nil: by none.
	encryption *encryption.Manager
	behind     bool                            // more hosts came and went than the last turn could take
	lists      map[string]*membership.PeerList // by the network's ID
}

// hostsAtOnce is how many hosts of a network may come and go in one turn. The firewall has three
// elements for each, which a busy machine sets in 6 µs each, under the store's lock. A turn of 250 held it
// for 2 to 3 ms longer. The rest follows in turns of their own. Until then a host that came is kept out,
// and one that went is let in.
const hostsAtOnce = 125

// IsBehind tells whether there are more hosts than the last turn could take.
func (t *peerTracker) IsBehind() bool { return t.behind }

// UpdatePeers records the peers of all networks, and tells whether that is news to the kernel. It
// changes the networks to what they are then.
func (t *peerTracker) UpdatePeers(s *hoststate.Session, networks []hoststate.Network) (changed bool, err error) {
	t.behind = false
	lists := make(map[string]*membership.PeerList)
	for _, n := range networks {
		lists[n.ID] = cmp.Or(t.lists[n.ID], new(membership.PeerList))
	}
	t.lists = lists
	var errs []error
	for i := range networks {
		if !networks[i].NeedsAgent() {
			continue
		}
		news, err := t.updateNetwork(s, &networks[i])
		changed, errs = changed || news, append(errs, err)
	}
	return changed, errors.Join(errs...)
}

func (t *peerTracker) updateNetwork(s *hoststate.Session, local *hoststate.Network) (changed bool, err error) {
	n := toMembership(*local)
	have, known := local.Peers()
	var recorded *network.Peers
	if known {
		recorded = &have
	}
	want := t.lists[n.ID].Update(n, t.clusters.DiscoveryOf(n), recorded)
	want.AgentPort = t.agentPort
	if n.FindsHosts() {
		want.HostAddrs = t.hostAddrs(n)
	}
	if n.Encrypts() && t.encryption != nil {
		want.WireGuard = t.encryption.Device(n.ID)
		want.WireGuardAddrs = wireGuardAddrs(n, t.clusters.SnapshotOf(n), t.encryption.TunnelKeys(n.ID))
	}
	if known && want.Equal(have) {
		return false, nil
	}
	var limited bool
	want.Flood, limited = limitChanges(local.VTEP.Flood, want.Flood, hostsAtOnce)
	t.behind = t.behind || limited
	return true, s.SetPeers(local, want)
}

// wireGuardAddrs returns where the hosts of a network take in encrypted packets: this one by its keys, and
// the others by theirs.
func wireGuardAddrs(n membership.Network, s cluster.Snapshot, own []cluster.TunnelKey) (addrs []netip.AddrPort) {
	for _, k := range own {
		addrs = append(addrs, netip.AddrPortFrom(n.VTEP.Local, k.Port))
	}
	for _, m := range n.Members(s) {
		for _, k := range m.Keys {
			addrs = append(addrs, netip.AddrPortFrom(m.VTEP, k.Port))
		}
	}
	slices.SortFunc(addrs, netip.AddrPort.Compare)
	return slices.Compact(addrs)
}

// limitChanges returns the wanted hosts. If too many come and go it makes only most of the changes,
// hosts that come first, and tells so.
func limitChanges(have, want []netip.Addr, most int) (some []netip.Addr, limited bool) {
	isThere, isWanted := addrSet(have), addrSet(want)
	change := func() bool {
		most--
		limited = limited || most < 0
		return most >= 0
	}
	for _, a := range want {
		if isThere[a] || change() {
			some = append(some, a)
		}
	}
	for _, a := range have {
		if !isWanted[a] && !change() {
			some = append(some, a)
		}
	}
	slices.SortFunc(some, netip.Addr.Compare)
	return some, limited
}

func addrSet(addrs []netip.Addr) map[netip.Addr]bool {
	set := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		set[a] = true
	}
	return set
}

// hostAddrs returns this host's own addresses on a network. Until the other hosts can be asked,
// they are what was recorded.
func (t *peerTracker) hostAddrs(n membership.Network) []netip.Addr {
	if t.clusters.IsSynced(n) {
		return t.claims.ChooseHostAddrs(n, t.clusters.SnapshotOf(n))
	}
	return n.HostAddrs()
}
