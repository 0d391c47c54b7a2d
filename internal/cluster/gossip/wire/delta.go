package wire

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"vxlan-driver/internal/cluster"
)

// Delta turns one version of its sender's record into a later one.
type Delta struct {
	Base, Version Version
	Withdrawn     []cluster.NetworkKey // networks that the host is no longer on
	Changes       []NetworkChange
}

// NetworkChange is what is new on one network. The header is always sent, as it is small.
type NetworkChange struct {
	Header  cluster.Membership // without endpoints
	Removed []string           // container ids
	Updated []cluster.Endpoint // added or changed
}

// Diff returns the delta between two records of one host, both canonical.
func Diff(from, to Record) Delta {
	d := Delta{Base: from.Version, Version: to.Version}
	old := indexByNetwork(from.Memberships)
	for _, m := range to.Memberships {
		before, existed := old[m.Network]
		delete(old, m.Network)
		if !existed || !reflect.DeepEqual(before, m) {
			d.Changes = append(d.Changes, diffEndpoints(before, m))
		}
	}
	for _, m := range from.Memberships {
		if _, withdrawn := old[m.Network]; withdrawn {
			d.Withdrawn = append(d.Withdrawn, m.Network)
		}
	}
	return d
}

// diffEndpoints merges two lists that are sorted by container id.
func diffEndpoints(from, to cluster.Membership) NetworkChange {
	c := NetworkChange{Header: to}
	c.Header.Endpoints = nil
	old := from.Endpoints
	for _, e := range to.Endpoints {
		for len(old) > 0 && old[0].ContainerID < e.ContainerID {
			c.Removed = append(c.Removed, old[0].ContainerID)
			old = old[1:]
		}
		existed := len(old) > 0 && old[0].ContainerID == e.ContainerID
		if !existed || !old[0].Equal(e) {
			c.Updated = append(c.Updated, e)
		}
		if existed {
			old = old[1:]
		}
	}
	for _, e := range old {
		c.Removed = append(c.Removed, e.ContainerID)
	}
	return c
}

// Apply returns the record that d makes of r. It checks by the checksum that this is the record
// that its owner has.
func (d Delta) Apply(r Record) (Record, error) {
	next := Record{Host: r.Host, Version: d.Version}
	var err error
	if next.Memberships, err = cluster.Canonical(d.changeMemberships(r.Memberships)); err != nil {
		return Record{}, fmt.Errorf("%w: delta: %v", ErrMalformed, err)
	}
	if ContentChecksum(false, next.Memberships) != d.Version.Checksum {
		return Record{}, fmt.Errorf("%w: delta does not lead to the version it claims", ErrMalformed)
	}
	return next, nil
}

// changeMemberships returns the changed memberships in any order, and leaves old as it is.
func (d Delta) changeMemberships(old []cluster.Membership) []cluster.Membership {
	byNetwork := indexByNetwork(old)
	for _, k := range d.Withdrawn {
		delete(byNetwork, k)
	}
	for _, c := range d.Changes {
		m := c.Header
		m.Endpoints = c.changeEndpoints(byNetwork[m.Network].Endpoints)
		byNetwork[m.Network] = m
	}
	var changed []cluster.Membership
	for _, m := range byNetwork {
		changed = append(changed, m)
	}
	return changed
}

func (c NetworkChange) changeEndpoints(old []cluster.Endpoint) []cluster.Endpoint {
	replaced := make(map[string]bool, len(c.Removed)+len(c.Updated))
	for _, id := range c.Removed {
		replaced[id] = true
	}
	for _, e := range c.Updated {
		replaced[e.ContainerID] = true
	}
	changed := slices.Clone(c.Updated)
	for _, e := range old {
		if !replaced[e.ContainerID] {
			changed = append(changed, e)
		}
	}
	slices.SortFunc(changed, func(a, b cluster.Endpoint) int { return cmp.Compare(a.ContainerID, b.ContainerID) })
	return changed
}

func indexByNetwork(memberships []cluster.Membership) map[cluster.NetworkKey]cluster.Membership {
	byNetwork := make(map[cluster.NetworkKey]cluster.Membership, len(memberships))
	for _, m := range memberships {
		byNetwork[m.Network] = m
	}
	return byNetwork
}
