package plan

import (
	"cmp"
	"net/netip"
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
	return selectElements(elements, except, false)
}

// elementsAmong returns the elements whose keys are among those of others. Where these are few that
// allocates little: a turn of the agent does it under the store's lock.
func elementsAmong(elements, others []kernel.Element) []kernel.Element {
	return selectElements(elements, others, true)
}

func selectElements(elements, others []kernel.Element, among bool) (some []kernel.Element) {
	isOther := make(map[kernel.ElementID]bool, len(others))
	for i := range others {
		isOther[others[i].ID()] = true
	}
	for i := range elements {
		if isOther[elements[i].ID()] == among {
			some = append(some, elements[i])
		}
	}
	return some
}

// changeFrom returns what leads to a network's elements from those of the former network whose
// fingerprint has a comment.
func changeFrom(comment string, former []PlacedNetwork, now PlacedNetwork) ElementsChange {
	for _, before := range former {
		if networkFingerprint(before).Comment == comment {
			return func(all AllElements) (kernel.ReplaceElements, error) { return changeOfElements(before, now, all) }
		}
	}
	return nil
}

func changeOfElements(before, now PlacedNetwork, all AllElements) (c kernel.ReplaceElements, err error) {
	d := elementDifference(differingElements(before, now))
	c.Old, c.New = d.old, d.new
	if len(d.gone) == 0 {
		return c, nil
	}
	wanted, err := all()
	if err != nil {
		return c, err
	}
	c.New = append(c.New, elementsAmong(wanted, d.gone)...)
	return c, nil
}

// differingElements returns those elements of a network before and now that may differ. The
// fingerprints stand for all.
func differingElements(before, now PlacedNetwork) (old, wanted []kernel.Element) {
	onlyBefore, onlyNow := withoutCommonHosts(before, now)
	onlyNow.membersLater = before.membersLater
	old, wanted = elementsBeside(networkFingerprint(before), onlyBefore), elementsBeside(networkFingerprint(now), onlyNow)
	if before.membersLater {
		wanted = append(wanted, membersOf(now)...)
	}
	return old, wanted
}

// withoutCommonHosts leaves out the hosts of both whose elements are the same. Of a network of 1,000
// hosts these are all but the one that joins.
func withoutCommonHosts(a, b PlacedNetwork) (onlyA, onlyB PlacedNetwork) {
	if a.Tunnel != b.Tunnel || a.VTEP.Local != b.VTEP.Local || a.VTEP.AgentPort != b.VTEP.AgentPort {
		return a, b
	}
	onlyA, onlyB = a, b
	onlyA.VTEP.Remotes = addrsExcept(a.VTEP.Remotes, b.VTEP.Remotes)
	onlyB.VTEP.Remotes = addrsExcept(b.VTEP.Remotes, a.VTEP.Remotes)
	return onlyA, onlyB
}

// addrsExcept returns the addresses that are not among those of except.
func addrsExcept(addrs, except []netip.Addr) (left []netip.Addr) {
	isExcept := make(map[netip.Addr]bool, len(except))
	for _, a := range except {
		isExcept[a] = true
	}
	for _, a := range addrs {
		if !isExcept[a] {
			left = append(left, a)
		}
	}
	return left
}

// difference is what leads from some elements to others.
type difference struct {
	old, new []kernel.Element
	gone     []kernel.Element // those of old whose keys are not among the new ones
}

// elementDifference compares values and comments too. A key may be in a list more than once.
func elementDifference(before, now []kernel.Element) (d difference) {
	index := make(map[kernel.ElementID]int, len(before)) // small where hosts join
	for i := range before {
		index[before[i].ID()] = i
	}
	isSame, isThere := make([]bool, len(before)), make([]bool, len(before))
	d.new = make([]kernel.Element, 0, len(now))
	for i := range now {
		b, ok := index[now[i].ID()]
		if ok {
			isThere[b], isSame[b] = true, before[b] == now[i]
		}
		if !ok || !isSame[b] {
			d.new = append(d.new, now[i])
		}
	}
	for i := range before {
		b := index[before[i].ID()]
		if !isSame[b] {
			d.old = append(d.old, before[i])
		}
		if !isThere[b] {
			d.gone = append(d.gone, before[i])
		}
	}
	return d
}
