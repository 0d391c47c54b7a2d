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
	return errors.Join(s.records.SetConfig(networkID, changed), s.adoptMTU(networkID, changed))
}

// adoptMTU records the MTU that a network has by its changed configuration. Otherwise it would seem
// to follow the underlay, which the user is told. A network that cannot be placed now follows later.
func (s *Session) adoptMTU(networkID string, config []byte) error {
	v, err := s.records.VTEP(networkID)
	if err != nil {
		return nil // it is found out anew
	}
	p, err := s.host.Place(config, s.ns)
	if err != nil || p.VTEP.MTU == v.MTU {
		return nil
	}
	v.MTU = p.VTEP.MTU
	return s.records.SetVTEP(networkID, v)
}
