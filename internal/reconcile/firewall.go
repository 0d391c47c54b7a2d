package reconcile

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// ensureFirewall makes the firewall hold elements, or removes some.
func ensureFirewall(host Namespace, want *plan.Firewall, r *Report) error {
	switch want.Mode {
	case plan.FirewallRemove:
		return restoreFirewall(host, want.All, removeElements(host, want.Remove))
	case plan.FirewallDelete:
		return host.Apply(kernel.DeleteFirewall{})
	case plan.FirewallReset:
		return resetFirewall(host, want.All)
	}
	return ensureElements(host, want, r)
}

// beginFirewall sets the firewall anew, or where it has very many elements the first of them. A
// further run adds the others, which it finds by the network's fingerprint.
func beginFirewall(host Namespace, want *plan.Firewall, r *Report) error {
	r.FirewallReset = true
	if want.First == nil {
		return resetFirewall(host, want.All)
	}
	r.FirewallUnfinished = true
	return resetFirewall(host, want.First)
}

// ensureElements adds only the endpoints' elements if all else is in place, so a start beside a
// thousand others takes as long as one alone. Of a network that was another one until now it changes
// what differs, which takes a host that joins 1 ms instead of 20. If the rules or a network's
// elements differ, or another element has the same key, it sets everything anew in one transaction.
func ensureElements(host Namespace, want *plan.Firewall, r *Report) error {
	intact, err := host.FirewallIntact()
	if err != nil {
		return err
	}
	if !intact {
		return beginFirewall(host, want, r)
	}
	change := kernel.ReplaceElements{New: want.Endpoints}
	for _, n := range want.Networks {
		if !intact {
			break
		}
		comment, there, err := host.ElementComment(n.Fingerprint)
		if err != nil {
			return err
		}
		if there && comment == n.Fingerprint.Comment {
			continue // so are the others
		}
		var known plan.ElementsChange
		if there && n.ChangeFrom != nil {
			known = n.ChangeFrom(comment)
		}
		switch {
		case !there && n.New:
			change.New = slices.Concat(n.Elements(), change.New)
		case known != nil:
			c, unread := known(want.All)
			intact = unread == nil
			change.Old, change.New = append(change.Old, c.Old...), slices.Concat(c.New, change.New)
		default:
			intact = false // the network's endpoints may lack elements too
		}
	}
	if intact {
		if err := replaceElements(host, change); !errors.Is(err, kernel.ErrElementTaken) {
			return restoreFirewall(host, want.All, err)
		}
	}
	if want.Verified {
		return nil
	}
	return beginFirewall(host, want, r)
}

// restoreFirewall sets the firewall anew if a change of it failed because it has lost its rules:
// somebody flushed the ruleset, or another version of this program made the tables. It returns what
// then still is wrong.
func restoreFirewall(host Namespace, all plan.AllElements, changeErr error) error {
	if changeErr == nil {
		return nil
	}
	if intact, err := host.FirewallIntact(); intact || err != nil {
		return errors.Join(changeErr, err)
	}
	return resetFirewall(host, all)
}

// resetFirewall sets the firewall anew. What it has stays if it may belong to what cannot be read:
// a network that lost its elements would be open.
func resetFirewall(host Namespace, all plan.AllElements) error {
	elements, unread := all()
	if errors.Is(unread, plan.ErrKernelUnread) {
		return unread
	}
	if unread != nil {
		have, err := host.FirewallElements()
		if err != nil {
			return errors.Join(unread, err)
		}
		elements = plan.KeepElements(elements, have)
	}
	if err := host.Apply(kernel.SetFirewall{Elements: elements}); err != nil {
		return err
	}
	// What began meanwhile found no port published.
	return forgetFlows(host, kernel.DeleteFlows{Stale: plan.StaleFlows(elements)})
}

// flowsApart is a host that keeps apart what connection tracking refuses, or is asked later.
type flowsApart struct {
	Namespace
	isLater bool
	err     error
	stale   []kernel.Publication
}

// Apply returns no error about flows.
func (h *flowsApart) Apply(c kernel.Change) error {
	flows, ok := c.(kernel.DeleteFlows)
	switch {
	case !ok:
		return h.Namespace.Apply(c)
	case h.isLater:
		h.stale = append(h.stale, flows.Stale...)
	default:
		h.err = errors.Join(h.err, h.Namespace.Apply(c))
	}
	return nil
}

// forgetFlows makes the kernel forget flows, if there are any to look for.
func forgetFlows(host Namespace, flows kernel.DeleteFlows) error {
	if flows.IsEmpty() {
		return nil
	}
	return host.Apply(flows)
}

// replaceElements replaces elements by others, if there are any.
func replaceElements(host Namespace, c kernel.ReplaceElements) error {
	switch {
	case len(c.Old) > 0:
		return host.Apply(c)
	case len(c.New) > 0:
		return host.Apply(kernel.AddElements{Elements: c.New})
	}
	return nil
}

// removeElements removes those of the elements that are there.
func removeElements(host Namespace, elements []kernel.Element) error {
	if len(elements) == 0 {
		return nil
	}
	return host.Apply(kernel.DelElements{Elements: elements})
}
