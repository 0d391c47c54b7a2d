package enrol

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"vxlan-driver/internal/regfile"
)

// Limits on tokens.
const (
	// DefaultTTL is how long a token is good for: a day, so that who gets it in the evening can use
	// it in the morning.
	DefaultTTL = 24 * time.Hour
	minTTL     = time.Minute
	maxTTL     = 30 * 24 * time.Hour
	maxTokens  = 64
	// maxDeliveries is how often one host may get the key by one token, as it does when its join is
	// interrupted.
	maxDeliveries = 10
)

// Store has a host's tokens. They are files of root's in a directory, one each.
type Store struct {
	dir   string
	clock Clock

	mu     sync.Mutex
	tokens map[string]*record // by ID
}

// record is a token as it is kept. Of the secret there is only a hash.
type record struct {
	ID          string        `json:"id"`
	SecretHash  []byte        `json:"secret_hash"`
	Certificate []byte        `json:"certificate"`
	Key         []byte        `json:"key"`
	Addrs       []netip.Addr  `json:"addrs"`
	Port        uint16        `json:"port"`
	Created     Moment        `json:"created"`
	TTL         time.Duration `json:"ttl"`
	Use         *use          `json:"use,omitempty"`
	certificate *tls.Certificate
}

// use is by whom a token is used: by the first host that was given the key.
type use struct {
	Joiner     []byte     `json:"joiner"` // a hash of what only that host knows
	Host       string     `json:"host"`
	Addr       netip.Addr `json:"addr"`
	At         Moment     `json:"at"`
	Deliveries int        `json:"deliveries"`
	Confirmed  bool       `json:"confirmed"` // the host has stored the key
}

// Info is a token as people see it.
type Info struct {
	ID      string        `json:"id"`
	Addrs   []netip.Addr  `json:"addrs"`
	Port    uint16        `json:"port"`
	Left    time.Duration `json:"left"` // 0: it has expired
	UsedBy  string        `json:"used_by,omitempty"`
	UsedAgo time.Duration `json:"used_ago,omitempty"`
	// Pending tells that the host that uses it has not confirmed yet.
	Pending bool `json:"pending,omitempty"`
}

// OpenStore reads the tokens that are in a directory, which need not exist. The error says which
// could not be read; the others are there.
func OpenStore(dir string, clock Clock) (*Store, error) {
	s := &Store{dir: dir, clock: clock, tokens: make(map[string]*record)}
	files, err := filepath.Glob(filepath.Join(dir, "*"+fileSuffix))
	errs := []error{err}
	for _, path := range files {
		r, err := readRecord(path)
		if err != nil {
			errs = append(errs, fmt.Errorf("read token %s: %w", path, err))
			continue
		}
		s.tokens[r.ID] = r
	}
	s.removeOldLocked()
	return s, errors.Join(errs...)
}

const fileSuffix = ".json"

func readRecord(path string) (*record, error) {
	data, err := regfile.ReadText(path)
	if err != nil {
		return nil, err
	}
	r := new(record)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	if r.ID+fileSuffix != filepath.Base(path) || len(r.SecretHash) != sha256.Size {
		return nil, errors.New("it is damaged")
	}
	r.certificate, err = loadCertificate(r.Certificate, r.Key)
	return r, err
}

// CheckTTL refuses times for which no token is good.
func CheckTTL(ttl time.Duration) error {
	if ttl < minTTL || ttl > maxTTL {
		return fmt.Errorf("it must be good for %v to %v, and not for %v", minTTL, maxTTL, ttl)
	}
	return nil
}

// Create makes a token, and returns it. Its secret is nowhere else.
func (s *Store) Create(addrs []netip.Addr, port uint16, ttl time.Duration) (Token, error) {
	if err := CheckTTL(ttl); err != nil {
		return Token{}, fmt.Errorf("create token: %w", err)
	}
	if len(addrs) == 0 {
		return Token{}, errors.New("create token: this host has no address for other hosts")
	}
	t := Token{Addrs: addrs[:min(len(addrs), maxAddrs)], Port: port, Secret: NewSecret()}
	hash := t.Secret.hash()
	r := &record{SecretHash: hash[:], Addrs: t.Addrs, Port: port, Created: s.clock.Now(), TTL: ttl}
	var err error
	if r.Certificate, r.Key, err = newCertificate(); err != nil {
		return Token{}, err
	}
	if t.Fingerprint, err = fingerprintOf(r.Certificate); err != nil {
		return Token{}, err
	}
	if r.certificate, err = loadCertificate(r.Certificate, r.Key); err != nil {
		return Token{}, err
	}
	r.ID = t.Fingerprint.ID()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeOldLocked()
	if len(s.tokens) >= maxTokens {
		return Token{}, fmt.Errorf("create token: there are %d already; revoke some with `vxlanctl token revoke`",
			len(s.tokens))
	}
	if s.tokens[r.ID] != nil {
		return Token{}, errors.New("create token: another one has its ID by chance; try again")
	}
	if err := s.writeLocked(r); err != nil {
		return Token{}, err
	}
	s.tokens[r.ID] = r
	return t, nil
}

// List returns the tokens, those that expire first in front.
func (s *Store) List() (all []Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeOldLocked()
	now := s.clock.Now()
	for _, r := range s.tokens {
		info := Info{ID: r.ID, Addrs: r.Addrs, Port: r.Port, Left: r.timeLeft(now)}
		if u := r.Use; u != nil {
			info.UsedBy, info.Pending = u.label(), !u.Confirmed
			info.UsedAgo, _ = u.At.since(now)
		}
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b Info) int {
		if a.Left != b.Left {
			return int(min(max(a.Left-b.Left, -1), 1))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all
}

// Outstanding returns the addresses and ports at which somebody may come with a token that is good,
// or that was and is used by now: who comes with it is told.
func (s *Store) Outstanding() (at []netip.AddrPort) {
	for _, info := range s.List() {
		for _, a := range info.Addrs {
			if ap := netip.AddrPortFrom(a, info.Port); info.Left > 0 && !slices.Contains(at, ap) {
				at = append(at, ap)
			}
		}
	}
	return at
}

// Revoke removes the token that has the ID, or the only one whose ID begins with it.
func (s *Store) Revoke(id string) (Info, error) {
	infos := s.List()
	found := slices.DeleteFunc(slices.Clone(infos),
		func(i Info) bool { return id == "" || !strings.HasPrefix(i.ID, strings.ToLower(id)) })
	switch len(found) {
	case 0:
		return Info{}, fmt.Errorf("revoke token: there is no token %q; `vxlanctl token ls` lists them", id)
	case 1:
	default:
		return Info{}, fmt.Errorf("revoke token: %d tokens begin with %q; type more of the ID", len(found), id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.removeLocked(found[0].ID); err != nil {
		return Info{}, fmt.Errorf("revoke token: %w", err)
	}
	return found[0], nil
}

// keepExpired is how long an expired token is kept, so that who comes with it is told.
const keepExpired = 24 * time.Hour

// timeLeft returns for how long a token is still good.
func (r *record) timeLeft(now Moment) time.Duration {
	age, known := r.Created.since(now)
	if !known {
		return 0
	}
	return max(r.TTL-age, 0)
}

// removeOldLocked removes tokens that expired long ago.
func (s *Store) removeOldLocked() {
	now := s.clock.Now()
	for id, r := range s.tokens {
		if age, known := r.Created.since(now); !known || age > r.TTL+keepExpired {
			_ = s.removeLocked(id) // it is tried again the next time, and is no longer good anyway
		}
	}
}

func (s *Store) removeLocked(id string) error {
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	delete(s.tokens, id)
	return nil
}

func (s *Store) path(id string) string { return filepath.Join(s.dir, id+fileSuffix) }

// writeLocked replaces the token's file. After a power cut it is the old or the new one.
func (s *Store) writeLocked(r *record) (err error) {
	data, err := json.Marshal(r)
	if err == nil {
		err = os.MkdirAll(s.dir, 0o700)
	}
	if err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	f, err := os.CreateTemp(s.dir, r.ID+".*") // 0600
	if err != nil {
		return fmt.Errorf("write token: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path(r.ID))
	}
	if err != nil {
		return fmt.Errorf("write token: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
