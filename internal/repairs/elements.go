package repairs

import (
	"fmt"
	"slices"
	"strings"

	"vxlan-driver/internal/kernel"
)

// wantedElements returns those of a firewall that was set anew, and whether it was.
func (o observed) wantedElements() (elements []kernel.Element, isSet bool) {
	for _, c := range o.changes {
		if c, ok := c.(kernel.SetFirewall); ok {
			elements, isSet = c.Elements, true
		}
	}
	return elements, isSet
}

// lookAtFirewall looks whether a firewall that is set anew lacked something that it had had. It is set
// anew, too, when a network is created that others must know: then what is missing is new.
func (f *finder) lookAtFirewall(c kernel.SetFirewall) {
	const command = "nft load tables " + kernel.FirewallTable
	if f.rulesLost {
		f.add(Repair{Kind: Firewall, Object: "rules", Detail: command})
		return
	}
	f.addMissing(c.Elements, func() string { return command })
}

// lookAtElements looks whether elements that are added were missing.
func (f *finder) lookAtElements(added []kernel.Element, by fmt.Stringer) {
	f.addMissing(added, func() string { return shortened(by.String()) })
}

// addMissing adds the repair of elements that were missing. Where nobody has read what the firewall
// had, they are new ones. The command may be long, and is rarely needed.
func (f *finder) addMissing(elements []kernel.Element, command func() string) {
	if f.expected || !f.elementsRead {
		return
	}
	switch missing := f.countMissing(elements); missing {
	case 0:
	case 1:
		f.add(Repair{Kind: Firewall, Object: oneElement, Detail: command()})
	default:
		f.add(Repair{Kind: Firewall, Object: fmt.Sprintf("%d elements", missing), Detail: command()})
	}
}

// shortened is a command's first line: there may be a thousand.
func shortened(command string) string {
	first, _, more := strings.Cut(command, "\n")
	if more {
		first += "; …"
	}
	return first
}

// countMissing counts the elements that the firewall had had, and then did not have.
func (f *finder) countMissing(elements []kernel.Element) (missing int) {
	had, have := elementIDs(f.hadElements), elementIDs(f.elements)
	for i := range elements {
		e := &elements[i]
		// Podman's other networks come and go.
		if id := e.ID(); e.Set != kernel.PodmanBridges && had[id] && !have[id] {
			missing++
		}
	}
	return missing
}

func elementIDs(elements []kernel.Element) map[kernel.ElementID]bool {
	ids := make(map[kernel.ElementID]bool, len(elements))
	for i := range elements {
		ids[elements[i].ID()] = true
	}
	return ids
}

// noteElements notes what the firewall has. In a run the first time counts, before anything is changed.
func (l *Log) noteElements(elements []kernel.Element) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastRead = &elements
	if l.watching && (l.seen.readBefore || !l.seen.elementsRead) {
		l.seen.elements, l.seen.elementsRead, l.seen.readBefore = elements, true, false
	}
}

// keepElementsLocked keeps what the firewall has after a run: what it was set to, or what was read and
// needed no change.
func (l *Log) keepElementsLocked(succeeded bool) {
	wanted, isSet := l.seen.wantedElements()
	switch {
	case isSet:
		l.elements = wanted
	case succeeded && l.lastRead != nil:
		l.elements = *l.lastRead
	}
	for _, c := range l.seen.changes {
		if r, ok := c.(kernel.ReplaceElements); ok && l.elements != nil {
			l.elements = replaceElements(l.elements, r)
		}
	}
	l.lastRead = nil
}

// replaceElements returns the elements after a change.
func replaceElements(elements []kernel.Element, r kernel.ReplaceElements) []kernel.Element {
	gone := elementIDs(slices.Concat(r.Old, r.New))
	left := make([]kernel.Element, 0, len(elements)+len(r.New))
	for i := range elements {
		if !gone[elements[i].ID()] {
			left = append(left, elements[i])
		}
	}
	return append(left, r.New...)
}

// elementsAddedLocked returns the repair of elements that were added. Those of containers are added
// whether they are there or not. So it is only known that some were missing if somebody was seen to
// delete them.
func (l *Log) elementsAddedLocked(found []Repair) (r Repair, ok bool) {
	adds := slices.ContainsFunc(l.seen.changes,
		func(c kernel.Change) bool { _, adds := c.(kernel.AddElements); return adds })
	known := slices.ContainsFunc(found, func(r Repair) bool { return r.Kind == Firewall })
	deleted := slices.ContainsFunc(l.removals, func(r timedRemoval) bool { return r.What == kernel.RemovedElement })
	return Repair{Kind: Firewall, Object: "elements", Count: 1}, adds && deleted && !known
}
