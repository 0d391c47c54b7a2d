package store

import (
	"time"

	"golang.org/x/sys/unix"
)

// TrustDirs says whether a network whose directory of endpoints was not written to has the records that the
// cache has. So nobody sees a record that was edited in its place, which no program of ours does.
func (s *Store) TrustDirs(on bool) {
	switch c := s.cache; {
	case c == nil:
	case !on:
		c.trusted, c.trust = nil, nil
	case c.trusted == nil:
		dirs := make(cachedDirs)
		c.trusted, c.trust = dirs.find, dirs.keep
	}
}

// cachedDirs are the networks' directories of endpoints, with their records.
type cachedDirs map[string]cachedDir

type cachedDir struct {
	file    fileID
	records []*Record
}

// clockTick is more than the steps in which file systems tell time. What was written to at a time may be
// written to again at what they take for the same one.
const clockTick = 50 * time.Millisecond

// dirID returns what tells one state of a directory from another, or zero if it was written to just now.
func dirID(path string) fileID {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || time.Since(time.Unix(st.Ctim.Unix())) < clockTick {
		return fileID{}
	}
	return fileID{st.Ino, st.Ctim}
}

// find returns the records of a network, if they are all as they were.
func (c cachedDirs) find(networkID, dir string) ([]*Record, bool) {
	d, ok := c[networkID]
	return d.records, ok && d.file == dirID(dir)
}

// keep returns what keeps all records of a network that are read from now on.
func (c cachedDirs) keep(networkID, dir string) func([]*Record) {
	id := dirID(dir)
	delete(c, networkID)
	return func(records []*Record) {
		if id != (fileID{}) {
			c[networkID] = cachedDir{id, records}
		}
	}
}
