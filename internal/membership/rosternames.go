package membership

import (
	"net/netip"
	"slices"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/kernel"
)

// updateNames finds a member's names anew.
func (r *Roster) updateNames(h *rosterHost) { r.setNames(h, earlierRecords{}) }

// setNames finds a member's names. A group that has the same records stays, which tells the name server that
// nothing has changed.
func (r *Roster) setNames(h *rosterHost, earlier earlierRecords) {
	h.names = r.namesOf(h, earlier)
	if h.place < len(r.inOrder) && r.inOrder[h.place] == h {
		r.names[h.place] = h.names
	}
}

func (r *Roster) namesOf(h *rosterHost, earlier earlierRecords) *dns.RecordGroup {
	if h.member == nil || !h.member.Reachable {
		return nil
	}
	host, records := keyOf(h.member), make([]dns.Record, 0, len(h.member.Endpoints))
	for _, e := range h.member.Endpoints {
		record, ok := earlier.find(e)
		if !ok {
			record = dns.Record{Names: e.Names, Addrs: credibleAddrs(r.network, r.isLocal, r.keptAddrs(host, e))}
		}
		records = append(records, record)
	}
	if h.names != nil && slices.EqualFunc(h.names.Records, records, dns.Record.Equal) {
		return h.names
	}
	return &dns.RecordGroup{Records: records}
}

// earlierRecords are those of a member as it was before. The next state has nearly all of them again. The
// zero value has none.
type earlierRecords struct {
	endpoints []cluster.Endpoint // those that were not passed yet
	records   []dns.Record       // of the same
	changed   map[netip.Addr]bool
}

// earlierRecordsOf returns the records of a member. Those with an address of which something has changed are
// to be found anew.
func earlierRecordsOf(h *rosterHost, changed []kernel.ForwardingKeys) earlierRecords {
	if h.member == nil || h.names == nil {
		return earlierRecords{}
	}
	l := earlierRecords{endpoints: h.member.Endpoints, records: h.names.Records, changed: make(map[netip.Addr]bool)}
	for _, k := range changed {
		for _, a := range k.Addrs {
			l.changed[a] = true
		}
	}
	return l
}

// find returns the record of an endpoint that is as before. Endpoints are in the order of their IDs, so each
// search goes on where the one before ended.
func (l *earlierRecords) find(e cluster.Endpoint) (dns.Record, bool) {
	for len(l.endpoints) > 0 && l.endpoints[0].ContainerID < e.ContainerID {
		l.endpoints, l.records = l.endpoints[1:], l.records[1:]
	}
	if len(l.endpoints) == 0 {
		return dns.Record{}, false
	}
	before := &l.endpoints[0]
	return l.records[0], before.ContainerID == e.ContainerID && slices.Equal(before.Names, e.Names) &&
		slices.Equal(before.Addrs, e.Addrs) && !slices.ContainsFunc(e.Addrs, func(a netip.Addr) bool { return l.changed[a] })
}

// updateNamesAt finds the names anew of the hosts that have an address.
func (r *Roster) updateNamesAt(a netip.Addr) {
	for _, one := range r.remotes.At(a) {
		if h := r.hosts[one.Trust.Host]; h != nil {
			r.updateNames(h)
		}
	}
}

// Names returns the records of the members that can be reached, by host.
func (r *Roster) Names() []*dns.RecordGroup {
	return slices.DeleteFunc(slices.Clone(r.names), func(g *dns.RecordGroup) bool { return g == nil })
}
