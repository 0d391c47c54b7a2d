package hostid

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"vxlan-driver/internal/cluster"
)

const (
	// Dir survives a reboot. It has nothing but the file with the ID.
	Dir = "/var/lib/vxlan"
	// File is the name of the file.
	File = "host-id"
)

// Store is where this host keeps its ID.
type Store struct {
	Dir string // survives a reboot
	// BootDir has the ID while Dir cannot be written. So it is newer than what Dir has.
	BootDir string
	Machine Machine
}

// Load returns this host's ID, and makes one if there is none yet. It always returns one: a host
// without an ID could not talk to others. The notes say for a person what is not as it should be.
func (s Store) Load() (id cluster.HostID, notes []string) {
	for _, dir := range []string{s.BootDir, s.Dir} {
		path := filepath.Join(dir, File)
		r, err := readRecord(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			notes = append(notes, fmt.Sprintf("read the host's ID: %v; this host gets a new one", err))
			continue
		}
		if changed := s.Machine.differsFrom(r.machine); changed != "" {
			notes = append(notes, fmt.Sprintf("%s was written on a machine with another %s, "+
				"so this host is a copy of that one, or was moved to other hardware; it gets a new ID", path, changed))
			continue
		}
		if dir == s.BootDir {
			notes = append(notes, s.promote(r)...)
		} else if missing := r.machine.complete(s.Machine); missing != r.machine {
			r.machine = missing
			_ = r.write(s.Dir) // the next start tries again
		}
		return r.id, notes
	}
	r := newRecord(s.Machine)
	return r.id, append(notes, s.save(r)...)
}

// Renew gives this host another ID. It fails if the ID cannot be kept until the next boot.
func (s Store) Renew() error {
	r := newRecord(s.Machine)
	if err := r.write(s.Dir); err != nil {
		return r.write(s.BootDir)
	}
	return removeIfExists(filepath.Join(s.BootDir, File))
}

// save keeps a new ID: until the host is installed anew, or else until its next boot.
func (s Store) save(r record) (notes []string) {
	err := r.write(s.Dir)
	if err == nil {
		return nil
	}
	notes = append(notes, fmt.Sprintf("keep the host's ID: %v; this host gets a new one with each boot, "+
		"and what it had before a boot counts as another host's for a day; make %s writable for vxland", err, s.Dir))
	if err := r.write(s.BootDir); err != nil {
		notes = append(notes, fmt.Sprintf("keep the host's ID until the next boot: %v", err))
	}
	return notes
}

// promote keeps for good what could be kept only until the next boot before.
func (s Store) promote(r record) (notes []string) {
	if r.write(s.Dir) != nil {
		return nil // it was said when the ID was made
	}
	if err := removeIfExists(filepath.Join(s.BootDir, File)); err != nil {
		return []string{fmt.Sprintf("keep the host's ID: %v", err)}
	}
	return nil
}

func newRecord(m Machine) record {
	var id cluster.HostID
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return record{id: id, machine: m.fingerprint()}
}
