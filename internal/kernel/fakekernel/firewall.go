package fakekernel

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// elementKey is what a set holds once.
type elementKey struct {
	set kernel.Set
	key kernel.Datum
}

// firewall is a namespace's nftables.
type firewall struct {
	owner    *Kernel
	elements map[elementKey]kernel.Element // nil: there are no tables
	altered  bool                          // somebody changed a rule
	missing  kernel.Family                 // whose table somebody deleted; "": none
	foreign  bool                          // the tables are another version's, with other types of elements
}

// Firewall returns the elements that are there, as lines in a stable order; nil where there are no
// tables.
func (f *firewall) Firewall() []string {
	var lines []string
	for _, e := range f.elements {
		lines = append(lines, fmt.Sprintf("%s %s: %s", e.Set.Family, e.Set.Name, e))
	}
	slices.Sort(lines)
	return lines
}

// FlushRuleset removes the firewall behind the project's back.
func (f *firewall) FlushRuleset() { f.elements = nil }

// DeleteTable removes one of the tables behind the project's back.
func (f *firewall) DeleteTable(family kernel.Family) {
	f.missing = family
	maps.DeleteFunc(f.elements, func(k elementKey, _ kernel.Element) bool { return k.set.Family == family })
}

// DeleteElements removes all elements behind the project's back. The rules stay.
func (f *firewall) DeleteElements() { clear(f.elements) }

// InstallOtherVersion replaces the tables by those of another version, in which no element can be
// looked up or changed.
func (f *firewall) InstallOtherVersion() {
	f.elements, f.foreign = make(map[elementKey]kernel.Element), true
}

// AlterRules changes a rule behind the project's back.
func (f *firewall) AlterRules() { f.altered = true }

// FirewallIntact implements reconcile.Namespace.
func (f *firewall) FirewallIntact() (bool, error) {
	return f.elements != nil && !f.altered && !f.foreign && f.missing == "", f.owner.call()
}

// FirewallOfOtherVersion implements reconcile.Namespace.
func (f *firewall) FirewallOfOtherVersion() (bool, error) { return f.foreign, f.owner.call() }

// FirewallElements implements reconcile.Namespace.
func (f *firewall) FirewallElements() ([]kernel.Element, error) {
	return slices.Collect(maps.Values(f.elements)), f.owner.call()
}

// ElementComment implements reconcile.Namespace.
func (f *firewall) ElementComment(e kernel.Element) (comment string, ok bool, err error) {
	if f.foreign {
		return "", false, unix.EINVAL
	}
	have, ok := f.elements[elementKey{e.Set, e.Key}]
	return have.Comment, ok, f.owner.call()
}

func (f *firewall) apply(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.SetFirewall:
		f.elements, f.altered, f.foreign, f.missing = make(map[elementKey]kernel.Element), false, false, ""
		return f.addElements(c.Elements)
	case kernel.DeleteFirewall:
		f.elements, f.altered, f.foreign, f.missing = nil, false, false, ""
	case kernel.AddElements:
		return f.addElements(c.Elements)
	case kernel.DelElements:
		return f.deleteElements(c.Elements)
	case kernel.ReplaceElements:
		before := maps.Clone(f.elements)
		err := errors.Join(f.deleteElements(c.Old), f.addElements(c.New))
		if err != nil {
			f.elements = before
		}
		return err
	}
	return nil
}

func (f *firewall) deleteElements(elements []kernel.Element) error {
	if f.foreign && len(elements) > 0 {
		return unix.EINVAL
	}
	for _, e := range elements {
		if have, ok := f.elements[elementKey{e.Set, e.Key}]; ok && have.Value == e.Value {
			delete(f.elements, elementKey{e.Set, e.Key})
		}
	}
	return nil
}

func (f *firewall) addElements(elements []kernel.Element) error {
	if f.elements == nil {
		return unix.ENOENT
	}
	for _, e := range elements {
		if e.Set.Family == f.missing {
			return unix.ENOENT
		}
		if f.foreign {
			return unix.EINVAL
		}
		if have, ok := f.elements[elementKey{e.Set, e.Key}]; ok && have.Value != e.Value {
			return kernel.ErrElementTaken
		}
		if strings.TrimSpace(e.Key.String()) == "" {
			return unix.EINVAL
		}
	}
	for _, e := range elements {
		if _, ok := f.elements[elementKey{e.Set, e.Key}]; !ok {
			f.elements[elementKey{e.Set, e.Key}] = e
		}
	}
	return nil
}
