package dns

import (
	"maps"
	"net/netip"
	"slices"
)

// A container on several networks has the resolvers of all of them in its resolv.conf. The C
// library believes the first answer, also a denial. So each resolver answers for all networks of
// the client, as aardvark-dns does. It knows the client by its address.

// multihomed has the other zones of containers that are in several, by address.
type multihomed map[netip.Addr][]*servedZone

// home is a zone that a container is in, with its addresses there.
type home struct {
	zone  *servedZone
	addrs []netip.Addr
}

// linkMultihomed tells each zone which of its containers are in other zones too.
func (s *Server) linkMultihomed(desired []desiredZone) {
	s.homes = make(map[string][]home)
	links := make(map[*servedZone]multihomed)
	for _, z := range desired {
		served := s.zones[z.Network]
		links[served] = make(multihomed)
		for _, r := range z.Records {
			s.addHome(r, served)
		}
	}
	for _, homes := range s.homes {
		linkHomes(homes, links)
	}
	for zone, byAddr := range links {
		zone.multihomed.Store(&byAddr)
		zone.addedMultihomed.Store(nil)
	}
}

// linkAdded does the same for one record that was added.
func (s *Server) linkAdded(r Record, zone *servedZone) {
	s.addHome(r, zone)
	homes := s.homes[r.ID]
	if len(homes) < 2 {
		return
	}
	links := make(map[*servedZone]multihomed)
	for _, h := range homes {
		links[h.zone] = make(multihomed)
		if added := h.zone.addedMultihomed.Load(); added != nil {
			links[h.zone] = maps.Clone(*added)
		}
	}
	linkHomes(homes, links)
	for zone, byAddr := range links {
		zone.addedMultihomed.Store(&byAddr)
	}
}

// addHome remembers that a container is in a zone. Containers of other hosts have no ID.
func (s *Server) addHome(r Record, zone *servedZone) {
	if r.ID == "" {
		return
	}
	homes := slices.DeleteFunc(s.homes[r.ID], func(h home) bool { return h.zone == zone })
	s.homes[r.ID] = append(homes, home{zone, r.Addrs})
}

// linkHomes adds, for each zone of a container, its other zones.
func linkHomes(homes []home, links map[*servedZone]multihomed) {
	if len(homes) < 2 {
		return
	}
	for i, h := range homes {
		var others []*servedZone
		for j, o := range homes {
			if i != j {
				others = append(others, o.zone)
			}
		}
		for _, a := range h.addrs {
			links[h.zone][a.Unmap().WithZone("")] = others
		}
	}
}

// viewsFor returns the views of all networks of a client, this zone's first.
func (z *servedZone) viewsFor(from netip.Addr) []*view {
	addr := from.Unmap().WithZone("")
	own := z.ownViews()
	views := own
	for _, other := range z.otherZones(addr) {
		views = append(views, other.ownViews()...)
	}
	if slices.ContainsFunc(views, func(v *view) bool { return v.forwards }) {
		return views
	}
	for _, v := range own {
		if outside := v.outsideOf(addr); outside != nil {
			return append(views, outside)
		}
	}
	return views
}

// otherZones returns the other zones of the container that has an address.
func (z *servedZone) otherZones(addr netip.Addr) []*servedZone {
	// Load what was added first, as ownViews does.
	added, all := z.addedMultihomed.Load(), z.multihomed.Load()
	for _, byAddr := range []*multihomed{added, all} {
		if byAddr == nil {
			continue
		}
		if others := (*byAddr)[addr]; others != nil {
			return others
		}
	}
	return nil
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
