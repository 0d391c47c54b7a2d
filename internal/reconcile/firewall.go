package reconcile

import (
	"errors"
	"slices"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/plan"
)

// ensureFirewall makes the firewall hold elements, or removes some.
func ensureFirewall(host Namespace, want *plan.Firewall) error {
	switch want.Mode {
	case plan.FirewallRemove:
		return removeElements(host, want.Remove)
	case plan.FirewallDelete:
		return host.Apply(kernel.DeleteFirewall{})
	case plan.FirewallReset:
		return resetFirewall(host, want)
	}
	return ensureElements(host, want)
}

// ensureElements adds only the endpoints' elements if all else is in place, so a start beside a
// thousand others takes as long as one alone. If the rules or a network's elements differ, or
// another element has the same key, it sets everything anew in one transaction.
func ensureElements(host Namespace, want *plan.Firewall) error {
	intact, err := host.FirewallIntact()
	if err != nil {
		return err
	}
	add := want.Endpoints
	for _, n := range want.Networks {
		if !intact {
			break
		}
		comment, there, err := host.ElementComment(n.Fingerprint)
		switch {
		case err != nil:
			return err
		case !there && n.New:
			add = slices.Concat(n.Elements(), add)
		default:
			// Without the fingerprint, the network's other endpoints may lack elements too.
			intact = there && comment == n.Fingerprint.Comment
		}
	}
	if intact {
		if err := addElements(host, add); !errors.Is(err, kernel.ErrElementTaken) {
			return err
		}
	}
	return resetFirewall(host, want)
}

func resetFirewall(host Namespace, want *plan.Firewall) error {
	all, err := want.All()
	if err != nil {
		return err
	}
	return host.Apply(kernel.SetFirewall{Elements: all})
}

// addElements adds elements, if there are any.
func addElements(host Namespace, elements []kernel.Element) error {
	if len(elements) == 0 {
		return nil
	}
	return host.Apply(kernel.AddElements{Elements: elements})
}

// removeElements removes those of the elements that are there.
func removeElements(host Namespace, elements []kernel.Element) error {
	if len(elements) == 0 {
		return nil
	}
	return host.Apply(kernel.DelElements{Elements: elements})
}
