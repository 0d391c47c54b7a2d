package dns

import (
	"net/netip"
	"slices"
)

// A container on several networks has the resolvers of all of them in its resolv.conf. The
// C library believes the first answer, also a denial. So each resolver answers for all
// networks of the client, as aardvark-dns does. It knows the client by its address.

// multihomed has the other zones of containers that are in several, by address.
type multihomed map[netip.Addr][]*servedZone

// linkMultihomed tells each zone which of its containers are in other zones too.
func (s *Server) linkMultihomed(desired []desiredZone) {
	zonesOf := make(map[string][]*servedZone) // by container id
	for _, z := range desired {
		for _, r := range z.Records {
			if served := s.zones[z.Network]; r.ID != "" && !slices.Contains(zonesOf[r.ID], served) {
				zonesOf[r.ID] = append(zonesOf[r.ID], served)
			}
		}
	}
	for _, z := range desired {
		served, byAddr := s.zones[z.Network], make(multihomed)
		for _, r := range z.Records {
			if len(zonesOf[r.ID]) < 2 {
				continue
			}
			others := slices.DeleteFunc(slices.Clone(zonesOf[r.ID]), func(o *servedZone) bool { return o == served })
			for _, a := range r.Addrs {
				byAddr[a.Unmap().WithZone("")] = others
			}
		}
		served.multihomed.Store(&byAddr)
	}
}

// viewsFor returns the views of all networks of a client, this zone's first.
func (z *servedZone) viewsFor(from netip.Addr) []*view {
	views := z.ownViews()
	byAddr := z.multihomed.Load()
	if byAddr == nil {
		return views
	}
	for _, other := range (*byAddr)[from.Unmap().WithZone("")] {
		views = append(views, other.ownViews()...)
	}
	return views
}

// ownViews returns this zone's views, the newest first.
func (z *servedZone) ownViews() []*view {
	// Load addedView first. When Set clears it, its records are in the other view already.
	added, all := z.addedView.Load(), z.view.Load()
	if added == nil {
		return []*view{all}
	}
	return []*view{added, all}
}
