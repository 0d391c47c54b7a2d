package reconcile

import (
	"errors"

	"vxlan-driver/internal/kernel"
)

// Firewall makes the firewall hold a network's elements and those of an endpoint.
// The first of network's is the one whose note stands for them all, so a start
// beside a thousand others adds the endpoint's alone.
//
// Where the rules are not as they should be, or an element is in the way, all is
// set anew from what all returns, in one transaction.
func Firewall(host Namespace, network, endpoint []kernel.Element, all func() ([]kernel.Element, error)) error {
	intact, err := host.FirewallIntact()
	if err != nil {
		return err
	}
	var note string
	var there bool
	if intact {
		if note, there, err = host.ElementNote(network[0]); err != nil {
			return err
		}
	}
	add := endpoint
	if !there {
		add = append(network[:len(network):len(network)], endpoint...)
	}
	if intact && (!there || note == network[0].Note) {
		err := AddElements(host, add)
		if !errors.Is(err, kernel.ErrElementTaken) {
			return err
		}
	}
	elements, err := all()
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
