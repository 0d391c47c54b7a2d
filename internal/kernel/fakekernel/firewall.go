package fakekernel

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/kernel"
)

// key is what a set holds once.
type key struct {
	set kernel.Set
	key kernel.Datum
}

// Firewall returns the elements that are there, as lines in a stable order; nil
// where there are no tables.
func (ns *Namespace) Firewall() []string {
	var lines []string
	for _, e := range ns.firewall {
		lines = append(lines, fmt.Sprintf("%s %s: %s", e.Set.Family, e.Set.Name, e))
	}
	slices.Sort(lines)
	return lines
}

// FlushRuleset removes the firewall behind the project's back.
func (ns *Namespace) FlushRuleset() { ns.firewall = nil }

// AlterRules changes a rule behind the project's back.
func (ns *Namespace) AlterRules() { ns.altered = true }

// FirewallIntact implements reconcile.Namespace.
func (ns *Namespace) FirewallIntact() (bool, error) {
	return ns.firewall != nil && !ns.altered, ns.kernel.call()
}

// ElementComment implements reconcile.Namespace.
func (ns *Namespace) ElementComment(e kernel.Element) (note string, ok bool, err error) {
	have, ok := ns.firewall[key{e.Set, e.Key}]
	return have.Comment, ok, ns.kernel.call()
}

func (ns *Namespace) applyFirewall(c kernel.Change) error {
	switch c := c.(type) {
	case kernel.SetFirewall:
		ns.firewall, ns.altered = make(map[key]kernel.Element), false
		return ns.addElements(c.Elements)
	case kernel.DeleteFirewall:
		ns.firewall, ns.altered = nil, false
	case kernel.AddElements:
		return ns.addElements(c.Elements)
	case kernel.DelElements:
		for _, e := range c.Elements {
			if have, ok := ns.firewall[key{e.Set, e.Key}]; ok && have.Value == e.Value {
				delete(ns.firewall, key{e.Set, e.Key})
			}
		}
	}
	return nil
}

func (ns *Namespace) addElements(elements []kernel.Element) error {
	if ns.firewall == nil {
		return unix.ENOENT
	}
	for _, e := range elements {
		if have, ok := ns.firewall[key{e.Set, e.Key}]; ok && have.Value != e.Value {
			return kernel.ErrElementTaken
		}
		if strings.TrimSpace(e.Key.String()) == "" {
			return unix.EINVAL
		}
	}
	for _, e := range elements {
		if _, ok := ns.firewall[key{e.Set, e.Key}]; !ok {
			ns.firewall[key{e.Set, e.Key}] = e
		}
	}
	return nil
}
