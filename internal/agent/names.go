package agent

import (
	"errors"
	"slices"

	"vxlan-driver/internal/dns"
	"vxlan-driver/internal/hoststate"
)

// otherPort is where names are answered if port 53 is taken: not in use by anything
// known (IANA has no service there for UDP or TCP that Linux hosts run).
const otherPort = 1053

// answerNames sets the name server. Where somebody else has port 53, such as a name
// server on all of the host's addresses, it has found other ones, each address its own; the
// network then moves to one that stays, to which port 53 can be redirected.
func (a *Agent) answerNames(locals []hoststate.Network) error {
	err := a.setNames(locals)
	moved := false
	for i, l := range locals {
		if l.HasNames() && l.DNSPort == 0 && a.displaced(l) {
			a.Log.Warn("port 53 is taken; answering names on another", "network", l.Name, "port", otherPort)
			locals[i].DNSPort, moved = otherPort, true
		}
	}
	if !moved {
		return err
	}
	return errors.Join(a.move(locals), a.setNames(locals))
}

// setNames sets the name server, and tells whose names are not answered.
func (a *Agent) setNames(locals []hoststate.Network) error {
	all := zones(locals, a.snapshots(), a.upstreams(), &a.tellings)
	a.arrivals.mu.Lock()
	err := a.Names.Set(a.arrivals.withAddedLocked(all, locals))
	a.arrivals.mu.Unlock()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var errs []error
	for _, err := range joined.Unwrap() {
		if z, ok := errors.AsType[dns.ZoneError](err); ok {
			for _, l := range locals {
				if l.Name == z.Network {
					err = hoststate.NetworkError{NetworkID: l.ID, Err: err}
				}
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// displaced tells whether an address of the network has another port than 53.
func (a *Agent) displaced(l hoststate.Network) bool {
	return slices.ContainsFunc(a.Names.Listening(), func(at dns.Listening) bool {
		return at.Network == l.Name && at.Port != dns.Port
	})
}

// move keeps where names are, and redirects to it.
func (a *Agent) move(locals []hoststate.Network) error {
	s, err := a.Driver.Begin()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range locals {
		if l.DNSPort == otherPort {
			errs = append(errs, s.SetDNSPort(l, otherPort))
		}
	}
	// Anew, since the store may be another by now.
	now, err := s.Networks()
	errs = append(errs, err, s.Reconcile(now, hoststate.ScopeFull))
	return errors.Join(append(errs, s.Close())...)
}
