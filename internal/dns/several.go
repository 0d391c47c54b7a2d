package dns

import (
	"net/netip"
	"slices"
)

// A container on several networks has the resolvers of all of them in its
// resolv.conf, and the C library believes the first that answers, a denial too. So
// each answers for all networks of the container that asks, as aardvark-dns does.
// Who asks is known by the address on the network where it asks.

// members tells which other zones a container of this host is in, by its address in one.
type members map[netip.Addr][]*zone

// connect tells each zone who of its containers is in others too.
func (s *Server) connect(wanted []wantedZone) {
	in := make(map[string][]*zone) // by container
	for _, w := range wanted {
		for _, e := range w.Records {
			if z := s.zones[w.Network]; e.ID != "" && !slices.Contains(in[e.ID], z) {
				in[e.ID] = append(in[e.ID], z)
			}
		}
	}
	for _, w := range wanted {
		z, m := s.zones[w.Network], make(members)
		for _, e := range w.Records {
			if len(in[e.ID]) < 2 {
				continue
			}
			others := slices.DeleteFunc(slices.Clone(in[e.ID]), func(o *zone) bool { return o == z })
			for _, a := range e.Addrs {
				m[a.Unmap().WithZone("")] = others
			}
		}
		z.members.Store(&m)
	}
}

// views returns what is known in the networks of whoever asks, this one first.
func (z *zone) views(from netip.Addr) []*view {
	all := z.own()
	m := z.members.Load()
	if m == nil {
		return all
	}
	for _, other := range (*m)[from.Unmap().WithZone("")] {
		all = append(all, other.own()...)
	}
	return all
}

// own returns what is known in the network, the newest first.
func (z *zone) own() []*view {
	// In this order: what Set takes out of one is in the other by then.
	newer, all := z.newer.Load(), z.view.Load()
	if newer == nil {
		return []*view{all}
	}
	return []*view{newer, all}
}

// lookupIn finds what there is at a name in the first network that has something
// there; else what is most certain of what they say, and who of them says it.
func lookupIn(views []*view, name string) (*node, lookup, *view) {
	var best *node
	what, who := kept, views[0]
	for _, v := range views {
		n, found := v.lookup(name)
		if found == exists && !n.empty() {
			return n, found, v
		}
		if found < what {
			best, what, who = n, found, v
		}
	}
	return best, what, who
}
