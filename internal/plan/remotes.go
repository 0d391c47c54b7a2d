package plan

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"vxlan-driver/internal/kernel"
)

// Remote is a container that another host says it has, or that host's own bridge.
type Remote struct {
	MAC   kernel.MAC
	VTEP  netip.Addr
	Addrs []netip.Addr
	Trust Trust
}

// Trust orders remotes: a MAC or an address is that of the first one that claims it. Of equal ones
// it is that of the one that was added first.
type Trust struct {
	Class int        // the least is trusted most
	Right int        // within the class, the same
	VTEP  netip.Addr // the lowest counts
	Host  string
	Place string // on the host
}

// Compare orders trusts, the greatest first.
func (t Trust) Compare(o Trust) int {
	return cmp.Or(cmp.Compare(t.Class, o.Class), cmp.Compare(t.Right, o.Right), t.VTEP.Compare(o.VTEP),
		cmp.Compare(t.Host, o.Host), cmp.Compare(t.Place, o.Place))
}

// Remotes are what other hosts say they have, by MAC and by address. So what one remote changes for
// others is found without a look at all. The zero value has none.
type Remotes struct {
	byMAC  map[kernel.MAC][]*Remote // in order of trust
	byAddr map[netip.Addr][]*Remote // in order of trust
}

// NewRemotes returns remotes, given in order of trust.
func NewRemotes(list ...Remote) *Remotes {
	r := new(Remotes)
	for i := range list {
		r.Add(&list[i])
	}
	return r
}

// Add adds a remote, which must not be changed then.
func (r *Remotes) Add(one *Remote) {
	if r.byMAC == nil {
		r.byMAC, r.byAddr = make(map[kernel.MAC][]*Remote), make(map[netip.Addr][]*Remote)
	}
	if !one.MAC.IsZero() { // unknown
		addRemote(r.byMAC, one.MAC, one)
	}
	for _, a := range one.Addrs {
		addRemote(r.byAddr, a, one)
	}
}

// Remove removes a remote that was added.
func (r *Remotes) Remove(one *Remote) {
	if !one.MAC.IsZero() {
		removeRemote(r.byMAC, one.MAC, one)
	}
	for _, a := range one.Addrs {
		removeRemote(r.byAddr, a, one)
	}
}

func addRemote[K comparable](index map[K][]*Remote, key K, one *Remote) {
	all := index[key]
	i := len(all)
	for i > 0 && all[i-1].Trust.Compare(one.Trust) > 0 {
		i--
	}
	index[key] = slices.Insert(all, i, one)
}

func removeRemote[K comparable](index map[K][]*Remote, key K, one *Remote) {
	left := slices.DeleteFunc(index[key], func(r *Remote) bool { return r == one })
	if len(left) == 0 {
		delete(index, key)
		return
	}
	index[key] = left
}

// At returns the remotes that have an address, in order of trust.
func (r *Remotes) At(a netip.Addr) []*Remote { return r.byAddr[a] }

// Keys returns the names of all entries that the remotes may have, sorted.
func (r *Remotes) Keys() kernel.ForwardingKeys {
	return SortKeys(slices.Collect(maps.Keys(r.byMAC)), slices.Collect(maps.Keys(r.byAddr)))
}

// KeysOf returns the names of the entries that a remote decides about: its own, and those of the
// remotes with its MAC.
func (r *Remotes) KeysOf(one *Remote) kernel.ForwardingKeys {
	keys := kernel.ForwardingKeys{MACs: []kernel.MAC{one.MAC}, Addrs: slices.Clone(one.Addrs)}
	for _, other := range r.byMAC[one.MAC] {
		if other != one {
			keys.Addrs = append(keys.Addrs, other.Addrs...)
		}
	}
	return keys
}

// KeysOfMAC returns the names of the entries that depend on whose a MAC is.
func (r *Remotes) KeysOfMAC(m kernel.MAC) kernel.ForwardingKeys {
	return r.KeysOf(&Remote{MAC: m})
}

// SortKeys sorts keys, and drops those that are repeated.
func SortKeys(macs []kernel.MAC, addrs []netip.Addr) kernel.ForwardingKeys {
	sortMACs(macs)
	slices.SortFunc(addrs, netip.Addr.Compare)
	return kernel.ForwardingKeys{MACs: slices.Compact(macs), Addrs: slices.Compact(addrs)}
}

// sortMACs sorts MACs as strings: a sort of arrays would add 12 kB to the plugin.
func sortMACs(macs []kernel.MAC) {
	texts := make([]string, 0, len(macs))
	for _, m := range macs {
		texts = append(texts, string(m[:]))
	}
	slices.Sort(texts)
	for i, s := range texts {
		macs[i] = kernel.MAC([]byte(s))
	}
}
