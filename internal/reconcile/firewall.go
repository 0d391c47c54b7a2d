package reconcile

import (
	"errors"

	"vxlan-driver/internal/kernel"
)

// Elements is what a start wants in the firewall.
type Elements struct {
	Mark     kernel.Element                   // stands for the network's, by its note
	Network  func() []kernel.Element          // with Mark
	First    bool                             // the endpoint is the network's only one
	Endpoint []kernel.Element                 //
	All      func() ([]kernel.Element, error) // of all networks and endpoints of the host
}

// Firewall makes the firewall hold a network's elements and those of an endpoint.
// A start beside a thousand others adds the endpoint's alone. Where the rules are
// not as they should be, or an element is in the way, all is set anew in one transaction.
func Firewall(host Namespace, want Elements) error {
	intact, err := host.FirewallIntact()
	if err != nil {
		return err
	}
	var note string
	var there bool
	if intact {
		if note, there, err = host.ElementComment(want.Mark); err != nil {
			return err
		}
	}
	add := want.Endpoint
	if intact && !there {
		add = append(want.Network(), add...)
	}
	// Without the mark others of the network may lack theirs, too.
	if intact && (!there && want.First || there && note == want.Mark.Comment) {
		err := AddElements(host, add)
		if !errors.Is(err, kernel.ErrElementTaken) {
			return err
		}
	}
	elements, err := want.All()
	if err != nil {
		return err
	}
	return ResetFirewall(host, elements)
}

// AddElements adds elements, if there are any.
func AddElements(host Namespace, elements []kernel.Element) error {
	if len(elements) == 0 {
		return nil
	}
	return host.Apply(kernel.AddElements{Elements: elements})
}

// RemoveElements removes those of the elements that are there.
func RemoveElements(host Namespace, elements []kernel.Element) error {
	if len(elements) == 0 {
		return nil
	}
	return host.Apply(kernel.DelElements{Elements: elements})
}

// ResetFirewall sets rules and elements anew.
func ResetFirewall(host Namespace, elements []kernel.Element) error {
	return host.Apply(kernel.SetFirewall{Elements: elements})
}

// RemoveFirewall removes the tables.
func RemoveFirewall(host Namespace) error { return host.Apply(kernel.DeleteFirewall{}) }
