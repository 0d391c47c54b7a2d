package fakekernel

import (
	"fmt"
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
}

// Firewall returns the elements that are there, as lines in a stable order; nil
// where there are no tables.
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

// AlterRules changes a rule behind the project's back.
func (f *firewall) AlterRules() { f.altered = true }

// FirewallIntact implements reconcile.Namespace.
func (f *firewall) FirewallIntact() (bool, error) {
	return f.elements != nil && !f.altered, f.owner.call()
}

// ElementComment implements reconcile.Namespace.
func (f *firewall) ElementComment(e kernel.Element) (comment string, ok bool, err error) {
	have, ok := f.elements[elementKey{e.Set, e.Key}]
	return have.Comment, ok, f.owner.call()
}

func (f *firewall) apply(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.SetFirewall:
		f.elements, f.altered = make(map[elementKey]kernel.Element), false
		return f.addElements(c.Elements)
	case kernel.DeleteFirewall:
		f.elements, f.altered = nil, false
	case kernel.AddElements:
		return f.addElements(c.Elements)
	case kernel.DelElements:
		for _, e := range c.Elements {
			if have, ok := f.elements[elementKey{e.Set, e.Key}]; ok && have.Value == e.Value {
				delete(f.elements, elementKey{e.Set, e.Key})
			}
		}
	}
	return nil
}

func (f *firewall) addElements(elements []kernel.Element) error {
	if f.elements == nil {
		return unix.ENOENT
	}
	for _, e := range elements {
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
