package bpfpath

import "maps"

// peerKey is another host on a network.
type peerKey struct {
	device uint32 // index of the network's VXLAN device
	vtep   programsAddress
}

// peerTable says which counters each host on a network has.
type peerTable struct {
	index map[peerKey]uint32
	used  map[uint32]bool
	next  uint32 // where to look for counters that are not used
}

// newPeerTable returns what remotes use. The counters with index 0 are for all that have none.
func newPeerTable(remotes map[programsStation]programsRemote) *peerTable {
	t := &peerTable{make(map[peerKey]uint32), map[uint32]bool{0: true}, 1}
	for s, r := range remotes {
		if r.Peer != 0 {
			t.index[peerKey{s.Device, r.Vtep}], t.used[r.Peer] = r.Peer, true
		}
	}
	return t
}

// take returns the counters of a host on a network, of so many that there are, and whether they were
// another's before. If none are left, it returns 0.
func (t *peerTable) take(key peerKey, count uint32) (index uint32, isNew bool) {
	if index, ok := t.index[key]; ok {
		return index, false
	}
	if uint32(len(t.used)) >= count {
		return 0, false // at once: it may be asked for each of many containers
	}
	for range count {
		at := t.next % count
		t.next = at + 1
		if !t.used[at] {
			t.index[key], t.used[at] = at, true
			return at, true
		}
	}
	return 0, false
}

// hosts are the other hosts on all networks.
func (t *peerTable) hosts() map[peerKey]uint32 {
	if t == nil {
		return nil
	}
	return t.index
}

// free gives back the counters of hosts.
func (t *peerTable) free(unused func(peerKey) bool) {
	maps.DeleteFunc(t.index, func(k peerKey, index uint32) bool {
		if unused(k) {
			delete(t.used, index)
			return true
		}
		return false
	})
}

// peer returns the counters of another host on a network. They are zero if they are new.
func (p *Programs) peer(key peerKey) (uint32, error) {
	index, isNew := p.peers.take(key, p.objects.Counts.MaxEntries())
	if !isNew {
		return index, nil
	}
	var zero []programsCounters // one for each CPU
	if err := p.objects.Counts.Lookup(index, &zero); err != nil {
		return 0, err
	}
	clear(zero)
	if err := p.objects.Hops.Put(index, programsHop{}); err != nil {
		return 0, err
	}
	delete(p.hops, key)
	p.wantHops()
	return index, p.objects.Counts.Put(index, zero)
}
