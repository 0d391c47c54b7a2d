package driver

import (
	"errors"
	"fmt"

	"vxlan-driver/internal/kernel"
	"vxlan-driver/internal/network"
	"vxlan-driver/internal/plan"
	"vxlan-driver/internal/reconcile"
	"vxlan-driver/internal/store"
)

// Local is a network that has containers on this host.
type Local struct {
	network.Network
	VTEP      network.VTEP
	Endpoints []store.Record
	others    []network.Taken
}

func (l Local) placed() placed { return placed{Network: l.Network, vtep: l.VTEP, others: l.others} }

// Session is the host and the lock of its store, held together for one run of the
// agent's work.
type Session struct{ b build }

// Begin takes the lock.
func (d *Driver) Begin() (*Session, error) {
	if d.Rootless {
		return nil, errRootless
	}
	host, err := d.Open("")
	if err != nil {
		return nil, err
	}
	st, err := store.Open(d.StoreDir)
	if err != nil {
		host.Close()
		return nil, err
	}
	return &Session{build{d, st, host}}, nil
}

// Close gives the lock free.
func (s *Session) Close() error {
	s.b.host.Close()
	return s.b.st.Close()
}

// Empty tells whether the store has no network at all, be it one that cannot be read.
func (s *Session) Empty() (bool, error) {
	ids, err := s.b.st.Networks()
	return len(ids) == 0, err
}

// Networks returns what the host has. What cannot be read or placed is left out, and
// in the error.
func (s *Session) Networks() ([]Local, error) {
	ids, err := s.b.st.Networks()
	errs := []error{err}
	var all []Local
	for _, id := range ids {
		config, err := s.b.st.Config(id)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p, err := s.b.place(config, s.b.host)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", id, err))
			continue
		}
		records, err := readAll(s.b.st, id)
		errs = append(errs, err)
		all = append(all, Local{Network: p.Network, VTEP: p.vtep, Endpoints: records, others: p.others})
	}
	return all, errors.Join(errs...)
}

// Mend makes the host hold what the networks ask for. Where all is in place it changes
// nothing.
func (s *Session) Mend(locals []Local) error {
	errs := []error{s.mendFirewall(locals)}
	for _, l := range locals {
		if err := s.b.mend(l.placed(), l.Endpoints); err != nil {
			errs = append(errs, fmt.Errorf("network %s: %w", l.Name, err))
		}
	}
	return errors.Join(errs...)
}

// mendFirewall sets all anew if a rule or what stands for a network is not as it should
// be; else it adds what endpoints lack.
func (s *Session) mendFirewall(locals []Local) error {
	if len(locals) == 0 {
		return nil
	}
	var claims []claim
	whole, err := s.b.host.FirewallIntact()
	if err != nil {
		return err
	}
	for _, l := range locals {
		elements := l.placed().elements()
		claims = append(claims, claimsFor(l.placed(), l.Endpoints)...)
		if !whole {
			continue
		}
		note, there, err := s.b.host.ElementNote(elements[0])
		if err != nil {
			return err
		}
		whole = there && note == elements[0].Note
	}
	if whole {
		err := reconcile.AddElements(s.b.host, settle(ofEndpoints(claims)))
		if !errors.Is(err, kernel.ErrElementTaken) {
			return err
		}
	}
	return reconcile.ResetFirewall(s.b.host, settle(claims))
}

func ofEndpoints(claims []claim) []claim {
	var all []claim
	for _, c := range claims {
		if c.by.ContainerID != "" {
			all = append(all, c)
		}
	}
	return all
}

// mend puts a network's devices and ports right.
func (b build) mend(p placed, records []store.Record) error {
	s := plan.Compute(p.Network, p.vtep, endpoints(records))
	if err := b.devices(p, s); err != nil {
		return err
	}
	var errs []error
	for _, e := range s.Endpoints {
		errs = append(errs, reconcile.Port(b.host, e.Port))
	}
	return errors.Join(errs...)
}
