package hoststate

import (
	"errors"
	"fmt"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
)

// Docker is the chain in which Docker leaves room for the administrator's rules. Where there is
// none, its methods do nothing.
type Docker interface {
	// AcceptedInDocker returns the bridges that AcceptInDocker has let pass, and whether all rules
	// of each are there.
	AcceptedInDocker() (map[string]bool, error)
	// AcceptInDocker lets packets from and to a bridge pass.
	AcceptInDocker(bridge string) error
	// ForgetInDocker undoes AcceptInDocker.
	ForgetInDocker(bridge string) error
}

// acceptInDocker lets a network's packets pass Docker's rules, if the network asks for that.
func (s *Session) acceptInDocker(n network.Network) error {
	if n.Integration != network.IntegrationDocker {
		return nil
	}
	accepted, err := s.ns.AcceptedInDocker()
	if err == nil && !accepted[n.Bridge.Name] {
		err = s.ns.AcceptInDocker(n.Bridge.Name)
	}
	if err != nil {
		return fmt.Errorf("let packets pass in Docker's chain %s: %w", kernel.DockerChain, err)
	}
	return nil
}

// forgetUnusedInDocker removes the rules for bridges that are gone.
func (s *Session) forgetUnusedInDocker() error {
	accepted, err := s.ns.AcceptedInDocker()
	errs := []error{err}
	for bridge := range accepted {
		if _, err := s.ns.Link(bridge, 0); errors.Is(err, kernel.ErrNotFound) {
			errs = append(errs, s.ns.ForgetInDocker(bridge))
		}
	}
	return errors.Join(errs...)
}
