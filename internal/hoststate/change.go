package hoststate

import (
	"errors"
	"slices"
)

// ChangeConfig replaces what is recorded of a network's configuration, if the network has containers
// here. change gets what is recorded: Podman passes it in another form than it keeps. Whoever changes
// it reconciles the host.
func (h *Host) ChangeConfig(networkID string, change func(config []byte) ([]byte, error)) error {
	s, err := h.Begin()
	if err != nil {
		return err
	}
	return errors.Join(s.changeConfig(networkID, change), s.Close())
}

func (s *Session) changeConfig(networkID string, change func(config []byte) ([]byte, error)) error {
	ids, err := s.records.Networks()
	if err != nil || !slices.Contains(ids, networkID) {
		return err
	}
	config, err := s.records.Config(networkID)
	if err != nil {
		return err
	}
	changed, err := change(config)
	if err != nil {
		return err
	}
	return errors.Join(s.records.SetConfig(networkID, changed), s.adoptPlacement(networkID, changed))
}

// adoptPlacement records the MTU and the list of hosts that a network has by its changed configuration.
// Otherwise the MTU would seem to follow the underlay, which the user is told, and hosts that were found by a
// plane would stay on the list of a network that has moved back to one. A network that cannot be placed now
// follows later.
func (s *Session) adoptPlacement(networkID string, config []byte) error {
	v, err := s.records.VTEP(networkID)
	if err != nil {
		return nil // it is found out anew
	}
	p, err := s.host.Place(config, s.ns)
	if err != nil || p.VTEP.MTU == v.MTU && slices.Equal(p.VTEP.Remotes, v.Remotes) &&
		slices.Equal(p.VTEP.Listed, v.Listed) {
		return nil
	}
	v.MTU, v.Remotes, v.Listed = p.VTEP.MTU, p.VTEP.Remotes, p.VTEP.Listed
	return s.records.SetVTEP(networkID, v)
}
