package enrol

import (
	"bytes"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
)

// certificateFor returns the certificate of a token, or nil.
func (s *Store) certificateFor(id string) *tls.Certificate {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.tokens[id]; r != nil {
		return r.certificate
	}
	return nil
}

// visitor is who comes with a token.
type visitor struct {
	secret Secret
	joiner Secret // what only that host knows
	host   string
	addr   netip.Addr
}

// checkAdmission tells whether a token is good for a visitor, and whether that host has used it
// already.
func (s *Store) checkAdmission(id string, v visitor) (done bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.checkLocked(id, v)
	if err != nil {
		return false, err
	}
	return r.Use != nil && r.Use.Confirmed, nil
}

// reserveFor notes that the visitor is given the key. From then on the token is good for that host
// alone.
func (s *Store) reserveFor(id string, v visitor) error {
	return s.changeRecord(id, v, func(r *record) error {
		if r.Use == nil {
			hash := v.joiner.hash()
			r.Use = &use{Joiner: hash[:], Host: v.host, Addr: v.addr, At: s.clock.Now()}
		}
		// Not again: the host may have been retired by a new key meanwhile.
		if r.Use.Confirmed {
			return refusal{Code: codeDone}
		}
		if r.Use.Deliveries++; r.Use.Deliveries > maxDeliveries {
			return refusal{Code: codeTooOften}
		}
		return nil
	})
}

// markUsed notes that the visitor has stored the key.
func (s *Store) markUsed(id string, v visitor) error {
	return s.changeRecord(id, v, func(r *record) error {
		if r.Use == nil {
			return refusal{Code: codeProtocol}
		}
		r.Use.Confirmed = true
		return nil
	})
}

// CloseUses ends the deliveries of tokens that hosts have used and not confirmed. Those hosts have
// the key of now, and are not to get another one.
func (s *Store) CloseUses() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for id, r := range s.tokens {
		if r.Use == nil || r.Use.Confirmed {
			continue
		}
		edited, closed := *r, *r.Use
		closed.Confirmed = true
		edited.Use = &closed
		if err := s.writeLocked(&edited); err != nil {
			errs = append(errs, err)
			continue
		}
		s.tokens[id] = &edited
	}
	return errors.Join(errs...)
}

// changeRecord changes a token that is good for the visitor, in the file first.
func (s *Store) changeRecord(id string, v visitor, edit func(*record) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.checkLocked(id, v)
	if err != nil {
		return err
	}
	edited := *r
	if r.Use != nil {
		copied := *r.Use
		edited.Use = &copied
	}
	if err := edit(&edited); err != nil {
		return err
	}
	if err := s.writeLocked(&edited); err != nil {
		return err
	}
	s.tokens[id] = &edited
	return nil
}

// checkLocked returns the token, if it is good for the visitor.
func (s *Store) checkLocked(id string, v visitor) (*record, error) {
	r, hash := s.tokens[id], v.secret.hash()
	if r == nil {
		return nil, refusal{Code: codeUnknown}
	}
	if subtle.ConstantTimeCompare(hash[:], r.SecretHash) == 0 {
		return nil, refusal{Code: codeWrongSecret}
	}
	now, joiner := s.clock.Now(), v.joiner.hash()
	// Whose it is comes before whether it has expired: that it was stolen matters more.
	if r.Use != nil && !bytes.Equal(r.Use.Joiner, joiner[:]) {
		age, _ := r.Use.At.since(now)
		return nil, refusal{Code: codeUsed, UsedBy: r.Use.label(), Age: age}
	}
	if r.timeLeft(now) == 0 {
		age, _ := r.Created.since(now)
		return nil, refusal{Code: codeExpired, Age: max(age-r.TTL, 0)}
	}
	return r, nil
}

func (u *use) label() string {
	if u.Host == "" {
		return u.Addr.String()
	}
	return fmt.Sprintf("%s (%v)", u.Host, u.Addr)
}
