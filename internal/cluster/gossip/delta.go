package gossip

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"vxlan-driver/internal/cluster"
)

// delta turns one version of its sender's record into a later one.
type delta struct {
	base, version version
	gone          []cluster.NetworkKey // networks that the host is no longer in
	changes       []change
}

// change is what is new in one network; the header is always sent, as it is
// small.
type change struct {
	header  cluster.Membership // without endpoints
	removed []string           // container ids
	put     []cluster.Endpoint // added or changed
}

func (w *writer) delta(d delta) {
	w.version(d.base)
	w.version(d.version)
	writeList(w, d.gone, w.key)
	writeList(w, d.changes, func(c change) {
		w.header(c.header)
		writeList(w, c.removed, w.string)
		writeList(w, c.put, w.endpoint)
	})
}

func (r *reader) delta() delta {
	return delta{
		base:    r.version(),
		version: r.version(),
		gone:    readList(r, cluster.MaxMemberships, r.key),
		changes: readList(r, cluster.MaxMemberships, func() change {
			return change{
				header:  r.header(),
				removed: readList(r, cluster.MaxEndpoints, r.id),
				put:     readList(r, cluster.MaxEndpoints, r.endpoint),
			}
		}),
	}
}

// diff returns what leads from one record of a host to another, both canonical.
func diff(from, to record) delta {
	d := delta{base: from.version, version: to.version}
	old := byKey(from.attachments)
	for _, a := range to.attachments {
		before, existed := old[a.Network]
		delete(old, a.Network)
		if !existed || !reflect.DeepEqual(before, a) {
			d.changes = append(d.changes, diffEndpoints(before, a))
		}
	}
	for _, a := range from.attachments {
		if _, left := old[a.Network]; left {
			d.gone = append(d.gone, a.Network)
		}
	}
	return d
}

func diffEndpoints(from, to cluster.Membership) change {
	c := change{header: to}
	c.header.Endpoints = nil
	old := from.Endpoints
	for _, e := range to.Endpoints {
		for len(old) > 0 && old[0].ContainerID < e.ContainerID {
			c.removed = append(c.removed, old[0].ContainerID)
			old = old[1:]
		}
		existed := len(old) > 0 && old[0].ContainerID == e.ContainerID
		if !existed || !old[0].Equal(e) {
			c.put = append(c.put, e)
		}
		if existed {
			old = old[1:]
		}
	}
	for _, e := range old {
		c.removed = append(c.removed, e.ContainerID)
	}
	return c
}

// apply returns the record that d makes of r. The sum decides whether it is the
// one that its owner has.
func (d delta) apply(r record) (record, error) {
	attachments := byKey(r.attachments)
	for _, k := range d.gone {
		delete(attachments, k)
	}
	for _, c := range d.changes {
		a := c.header
		a.Endpoints = c.endpoints(attachments[a.Network].Endpoints)
		attachments[a.Network] = a
	}
	next := record{name: r.name, version: d.version}
	for _, a := range attachments {
		next.attachments = append(next.attachments, a)
	}
	var err error
	if next.attachments, err = cluster.Canonical(next.attachments); err != nil {
		return record{}, fmt.Errorf("%w: delta: %v", errMalformed, err)
	}
	if contentSum(false, next.attachments) != d.version.sum {
		return record{}, fmt.Errorf("%w: delta does not lead to the version it claims", errMalformed)
	}
	return next, nil
}

// endpoints applies the change to a network's endpoints, which stay as they are.
func (c change) endpoints(old []cluster.Endpoint) []cluster.Endpoint {
	replaced := make(map[string]bool, len(c.removed)+len(c.put))
	for _, id := range c.removed {
		replaced[id] = true
	}
	for _, e := range c.put {
		replaced[e.ContainerID] = true
	}
	next := slices.Clone(c.put)
	for _, e := range old {
		if !replaced[e.ContainerID] {
			next = append(next, e)
		}
	}
	slices.SortFunc(next, func(a, b cluster.Endpoint) int { return cmp.Compare(a.ContainerID, b.ContainerID) })
	return next
}

func byKey(attachments []cluster.Membership) map[cluster.NetworkKey]cluster.Membership {
	m := make(map[cluster.NetworkKey]cluster.Membership, len(attachments))
	for _, a := range attachments {
		m[a.Network] = a
	}
	return m
}
