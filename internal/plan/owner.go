package plan

import (
	"cmp"
	"slices"

	"vxlan-driver/internal/kernel"
)

// elementOwner is who wants an element of the firewall: an endpoint, or a network.
type elementOwner struct {
	containerID string // "" for a network
	setUp       int64
}

// winsOver tells whether the owner gets an element that another one wants too. A container on
// several networks publishes a port on the one that it joined first. Of two containers the later
// one gets the port. Podman gives out a port once, so the earlier one has gone without a teardown.
func (o elementOwner) winsOver(other elementOwner) bool {
	if o.containerID == other.containerID {
		return o.setUp < other.setUp
	}
	return o.setUp >= other.setUp
}

type ownedElement struct {
	*kernel.Element
	owner elementOwner
}

// HostElements returns what the firewall should hold for these networks and their endpoints.
func HostElements(networks []HostNetwork) []kernel.Element {
	var all []ownedElement
	for _, n := range networks {
		all = appendOwned(all, networkElements(n.PlacedNetwork), elementOwner{})
		all = appendEndpoints(all, n)
	}
	return resolveConflicts(all)
}

func appendEndpoints(all []ownedElement, n HostNetwork) []ownedElement {
	for _, e := range n.Endpoints {
		all = appendOwned(all, endpointElements(n.Network, e.Endpoint), elementOwner{e.ContainerID, e.SetUp})
	}
	return all
}

func appendOwned(all []ownedElement, elements []kernel.Element, owner elementOwner) []ownedElement {
	all = slices.Grow(all, len(elements))
	for i := range elements {
		all = append(all, ownedElement{&elements[i], owner})
	}
	return all
}

// resolveConflicts gives each key to one owner. The result is sorted by set, since a message to the
// kernel holds elements of one.
func resolveConflicts(wanted []ownedElement) []kernel.Element {
	index := make(map[kernel.ElementID]int, len(wanted))
	kept := make([]ownedElement, 0, len(wanted))
	for _, e := range wanted {
		i, taken := index[e.ID()]
		switch {
		case !taken:
			index[e.ID()] = len(kept)
			kept = append(kept, e)
		case e.owner.winsOver(kept[i].owner):
			kept[i] = e
		}
	}
	slices.SortStableFunc(kept, func(a, b ownedElement) int {
		return cmp.Or(cmp.Compare(a.Set.Family, b.Set.Family), cmp.Compare(a.Set.Name, b.Set.Name))
	})
	all := make([]kernel.Element, 0, len(kept))
	for _, e := range kept {
		all = append(all, *e.Element)
	}
	return all
}

// KeepElements adds the elements that the firewall has beyond the wanted ones.
func KeepElements(wanted, have []kernel.Element) []kernel.Element {
	return append(wanted, elementsExcept(have, wanted)...)
}

// elementsExcept returns the elements whose keys are not among those of except.
func elementsExcept(elements, except []kernel.Element) []kernel.Element {
	keep := make(map[kernel.ElementID]bool, len(except))
	for i := range except {
		keep[except[i].ID()] = true
	}
	var left []kernel.Element
	for i := range elements {
		if !keep[elements[i].ID()] {
			left = append(left, elements[i])
		}
	}
	return left
}

// Change returns what leads from the elements that the network had before to those that it should
// have. all tells which of those that go others want.
func (n NetworkElements) Change(all AllElements) (c kernel.ReplaceElements, err error) {
	before, now := n.Before.Elements(), n.Elements()
	c.Old, c.New = differentElements(before, now), differentElements(now, before)
	gone := elementsExcept(c.Old, c.New)
	if len(gone) == 0 {
		return c, nil
	}
	wanted, err := all()
	if err != nil {
		return c, err
	}
	stays := elementsExcept(wanted, gone)
	c.New = append(c.New, elementsExcept(wanted, stays)...)
	return c, nil
}

// differentElements returns those elements that are not in the other list with the same value and
// comment.
func differentElements(elements, other []kernel.Element) (different []kernel.Element) {
	same := make(map[kernel.Element]bool, len(other))
	for _, e := range other {
		same[e] = true
	}
	for _, e := range elements {
		if !same[e] {
			different = append(different, e)
		}
	}
	return different
}
