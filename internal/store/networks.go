package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"vxlan-driver/internal/network"
	"vxlan-driver/internal/regfile"
)

// Networks returns the ids of the networks that have endpoints, sorted.
func (s *Store) Networks() ([]string, error) {
	ids, err := listNames(filepath.Join(s.dir, "networks"), "")
	if err != nil {
		return nil, err
	}
	var used []string
	for _, id := range ids {
		some, err := s.HasEndpointsExcept(id, "")
		if err != nil {
			return nil, err
		}
		if some { // else a crash came before the first
			used = append(used, id)
		}
	}
	s.cache.forgetExcept(used)
	return used, nil
}

// RemoveUnused removes what a killed or failed run has left of networks without endpoints.
func (s *Store) RemoveUnused() error {
	used, err := s.Networks()
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, "networks")
	ids, err := listNames(dir, "")
	errs := []error{err}
	for _, id := range ids {
		if !slices.Contains(used, id) {
			errs = append(errs, os.RemoveAll(filepath.Join(dir, id)))
		}
	}
	return errors.Join(errs...)
}

// SetVTEP keeps where a network is on this host.
func (s *Store) SetVTEP(networkID string, v network.VTEP) error {
	place, err := json.Marshal(v)
	if err == nil {
		err = writeIfChanged(filepath.Join(s.networkDir(networkID), "vtep.json"), place)
	}
	if err != nil {
		return fmt.Errorf("store VTEP: %w", err)
	}
	return nil
}

// ReadVTEP is VTEP without the lock: the file is replaced as a whole.
func ReadVTEP(dir, networkID string) (network.VTEP, error) {
	return (&Store{dir: dir}).VTEP(networkID)
}

// VTEP returns the network's VTEP at the time of the last PutEndpoint or SetVTEP.
func (s *Store) VTEP(networkID string) (network.VTEP, error) {
	var v network.VTEP
	path := filepath.Join(s.networkDir(networkID), "vtep.json")
	data, err := regfile.ReadState(path)
	if err != nil {
		return network.VTEP{}, fmt.Errorf("read stored VTEP: %w", err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return network.VTEP{}, fmt.Errorf("read stored VTEP: %s: %w", path, err)
	}
	return v, nil
}

// Config returns the network's configuration as of the last PutEndpoint.
func (s *Store) Config(networkID string) ([]byte, error) {
	data, err := regfile.ReadState(filepath.Join(s.networkDir(networkID), "network.json"))
	if err != nil {
		return nil, fmt.Errorf("read stored network: %w", err)
	}
	return data, nil
}
