package encryption

import (
	"maps"
	"net/netip"
	"slices"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/kernel/wireguard"
)

// peerTable says which peers the devices of a network should have: one for each host of the network,
// by its VTEP. A change costs what differs from before.
type peerTable struct {
	members  []*cluster.Member                  // in their order
	hosts    map[netip.Addr]*tunnelHost         // by VTEP
	keyOwner map[wireguard.Key]netip.Addr       // VTEP of the host that a public key is believed of
	holder   map[netip.Addr]netip.Addr          // VTEP of the host that has an overlay address
	held     map[netip.Addr]map[netip.Addr]bool // overlay addresses, by VTEP
}

// tunnelHost is another host of the network.
type tunnelHost struct {
	member     *cluster.Member   // that is believed
	candidates []*cluster.Member // that say they have the VTEP: one, but for a mistake or a lie
}

func newPeerTable() *peerTable {
	return &peerTable{
		hosts: make(map[netip.Addr]*tunnelHost), keyOwner: make(map[wireguard.Key]netip.Addr),
		holder: make(map[netip.Addr]netip.Addr), held: make(map[netip.Addr]map[netip.Addr]bool),
	}
}

// setMembers sets the hosts that this one believes to be on the network. It returns the VTEPs whose peers
// may be others now.
func (t *peerTable) setMembers(members []*cluster.Member) (changed []netip.Addr) {
	gone, come := cluster.ChangedMembers(t.members, members)
	if len(gone)+len(come) == 0 {
		return nil
	}
	t.members = members
	affected := make(map[netip.Addr]bool)
	for _, m := range slices.Concat(gone, come) {
		affected[m.VTEP] = true
	}
	vteps := slices.SortedFunc(maps.Keys(affected), netip.Addr.Compare)
	disputed := t.releaseKeys(gone)
	for _, m := range gone {
		t.hosts[m.VTEP].drop(m)
	}
	for _, m := range come {
		if t.hosts[m.VTEP] == nil {
			t.hosts[m.VTEP] = new(tunnelHost)
		}
		t.hosts[m.VTEP].candidates = append(t.hosts[m.VTEP].candidates, m)
	}
	for _, vtep := range vteps {
		if !t.hosts[vtep].choose() {
			delete(t.hosts, vtep)
		}
	}
	if disputed { // rare: somebody has announced the key of another host
		vteps = slices.SortedFunc(maps.Keys(t.hosts), netip.Addr.Compare)
		for vtep := range affected {
			if t.hosts[vtep] == nil {
				vteps = append(vteps, vtep)
			}
		}
	}
	t.claimKeys(vteps)
	return vteps
}

// releaseKeys forgets whose the keys of members are that have gone or changed, as far as these no longer
// announce them. It tells whether others announce one too.
func (t *peerTable) releaseKeys(gone []*cluster.Member) (disputed bool) {
	released := make(map[wireguard.Key]netip.Addr) // by whose they were
	for _, m := range gone {
		for _, k := range m.Keys {
			if key := wireguard.Key(k.Public); t.keyOwner[key] == m.VTEP {
				delete(t.keyOwner, key)
				released[key] = m.VTEP
			}
		}
	}
	for _, m := range t.members {
		for _, k := range m.Keys {
			key := wireguard.Key(k.Public)
			switch owner, wasReleased := released[key]; {
			case wasReleased && owner == m.VTEP:
				t.keyOwner[key] = owner // its record has changed, and it still has the key
			case wasReleased:
				disputed = true
			}
		}
	}
	return disputed
}

// claimKeys notes whose the keys of hosts are. A key that two announce is that of the one that had it
// first. Where that cannot be told, as when an agent starts, it is that of the one that talks from its
// VTEP. The other has no use of it, as it cannot have the private key.
func (t *peerTable) claimKeys(vteps []netip.Addr) {
	for _, fromVTEP := range []bool{true, false} {
		for _, vtep := range vteps {
			h := t.hosts[vtep]
			if h == nil || (h.member.Addr == vtep) != fromVTEP {
				continue
			}
			for _, k := range h.member.Keys {
				if _, taken := t.keyOwner[wireguard.Key(k.Public)]; !taken {
					t.keyOwner[wireguard.Key(k.Public)] = vtep
				}
			}
		}
	}
}

// drop forgets a member.
func (h *tunnelHost) drop(m *cluster.Member) {
	h.candidates = slices.DeleteFunc(h.candidates, func(o *cluster.Member) bool { return o == m })
}

// choose decides which member is believed of those with one VTEP: one that can be reached, and talks from
// that address. It tells whether there is any.
func (h *tunnelHost) choose() bool {
	h.member = nil
	for _, m := range h.candidates {
		if h.member == nil || rank(m) > rank(h.member) {
			h.member = m
		}
	}
	return h.member != nil
}

func rank(m *cluster.Member) (r int) {
	if m.Reachable {
		r += 2
	}
	if m.Addr == m.VTEP {
		r++
	}
	return r
}

// setHolders says which hosts have overlay addresses, by their VTEPs; an invalid VTEP: no other host. It
// returns the VTEPs whose peers may be others now.
func (t *peerTable) setHolders(holders map[netip.Addr]netip.Addr) (changed []netip.Addr) {
	affected := make(map[netip.Addr]bool)
	for addr, vtep := range holders {
		before := t.holder[addr]
		if before == vtep {
			continue
		}
		if before.IsValid() {
			delete(t.held[before], addr)
			if len(t.held[before]) == 0 {
				delete(t.held, before)
			}
			affected[before] = true
		}
		if !vtep.IsValid() {
			delete(t.holder, addr)
			continue
		}
		if t.held[vtep] == nil {
			t.held[vtep] = make(map[netip.Addr]bool)
		}
		t.holder[addr], t.held[vtep][addr] = vtep, true
		affected[vtep] = true
	}
	return slices.SortedFunc(maps.Keys(affected), netip.Addr.Compare)
}

// replaceHolders is setHolders for all addresses: no host has any other.
func (t *peerTable) replaceHolders(holders map[netip.Addr]netip.Addr) (changed []netip.Addr) {
	all := maps.Clone(holders)
	for addr := range t.holder {
		if _, has := all[addr]; !has {
			all[addr] = netip.Addr{}
		}
	}
	return t.setHolders(all)
}

// vteps are those of all hosts, sorted.
func (t *peerTable) vteps() []netip.Addr {
	return slices.SortedFunc(maps.Keys(t.hosts), netip.Addr.Compare)
}

// peer returns the peer that a host is to the device of a generation, if it has a key of that.
//
// All of it follows from the record of the one host that has the VTEP. So whoever announces the key of
// another host gains nothing: packets to the VTEP are encrypted for a key that he does not have.
func (t *peerTable) peer(vtep netip.Addr, generation uint64) (p wireguard.Peer, ok bool) {
	h := t.hosts[vtep]
	if h == nil {
		return p, false
	}
	for _, k := range h.member.Keys {
		if key := wireguard.Key(k.Public); k.Generation == generation && t.keyOwner[key] == vtep {
			return wireguard.Peer{
				PublicKey: key, Endpoint: netip.AddrPortFrom(vtep, k.Port), AllowedIPs: t.allowedIPs(vtep),
			}, true
		}
	}
	return p, false
}

// allowedIPs are the VTEP, by which VXLAN packets are sent, and the addresses of the host's containers.
func (t *peerTable) allowedIPs(vtep netip.Addr) []netip.Prefix {
	allowed := make([]netip.Prefix, 0, 1+len(t.held[vtep]))
	for addr := range t.held[vtep] {
		allowed = append(allowed, netip.PrefixFrom(addr, addr.BitLen()))
	}
	allowed = append(allowed, netip.PrefixFrom(vtep, vtep.BitLen()))
	slices.SortFunc(allowed, netip.Prefix.Compare)
	return allowed
}

// disputedKeys returns the hosts that announce a key which is another's.
func (t *peerTable) disputedKeys() (hosts []string) {
	for _, vtep := range t.vteps() {
		m := t.hosts[vtep].member
		isAnothers := func(k cluster.TunnelKey) bool { return t.keyOwner[wireguard.Key(k.Public)] != vtep }
		if slices.ContainsFunc(m.Keys, isAnothers) {
			hosts = append(hosts, m.Host)
		}
	}
	return hosts
}

// keyless returns the hosts that can be reached and announce no key at all.
func (t *peerTable) keyless() (hosts []string) {
	for _, vtep := range t.vteps() {
		if m := t.hosts[vtep].member; m.Reachable && len(m.Keys) == 0 {
			hosts = append(hosts, m.Host)
		}
	}
	return hosts
}
