package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/network"
)

// Cache keeps records for a program that reads all of a network again and again. Reading 500 takes
// 13 ms, or 0.6 ms from the cache. A file is replaced as a whole, so a changed record has another
// inode or time. Only one Store may use it at a time. It also keeps peers, which are many hosts.
type Cache struct {
	trustDirs bool
	networks  map[string]cachedRecords
	dirs      map[string]cachedDir
	peers     map[string]cachedPeers
}

// TrustDirs says whether a network whose directory of endpoints was not written to has the records that it
// had. So nobody sees a record that was edited in its place, which no program of ours does.
func (c *Cache) TrustDirs(on bool) {
	if c != nil {
		c.trustDirs = on
	}
}

// cachedDir is a network's directory of endpoints, with its records.
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
func (c *Cache) find(networkID, dir string) ([]*Record, bool) {
	if c == nil || !c.trustDirs {
		return nil, false
	}
	d, ok := c.dirs[networkID]
	return d.records, ok && d.file == dirID(dir)
}

// setDir keeps all records of a network, which were read from a directory that was in that state before.
func (c *Cache) setDir(networkID string, id fileID, records []*Record) {
	if c == nil {
		return
	}
	if c.dirs == nil {
		c.dirs = make(map[string]cachedDir)
	}
	delete(c.dirs, networkID)
	if id != (fileID{}) {
		c.dirs[networkID] = cachedDir{id, records}
	}
}

// cachedPeers are a network's peers.
type cachedPeers struct {
	network.Peers
	ok   bool
	file fileID
}

// cachedRecords are a network's records, by container id.
type cachedRecords map[string]cachedRecord

type cachedRecord struct {
	*Record
	file fileID
}

// fileID tells one version of a file from another.
type fileID struct {
	inode uint64
	time  unix.Timespec
}

// Records returns the records of a network's endpoints, in the order of their ids. The error names
// those that cannot be read. With a cache a record that was not replaced is the same as before, so
// it must not be changed.
func (s *Store) Records(networkID string) ([]*Record, error) { return s.RecordsExcept(networkID, "") }

// RecordsExcept is Records without that of one container.
func (s *Store) RecordsExcept(networkID, containerID string) ([]*Record, error) {
	if containerID != "" {
		return s.readRecords(networkID, containerID)
	}
	dir := s.endpointsDir(networkID)
	if records, ok := s.cache.find(networkID, dir); ok {
		return slices.Clone(records), nil
	}
	var id fileID
	if s.cache != nil {
		id = dirID(dir)
	}
	records, err := s.readRecords(networkID, "")
	if err != nil {
		id = fileID{}
	}
	s.cache.setDir(networkID, id, records)
	return records, err
}

func (s *Store) readRecords(networkID, containerID string) ([]*Record, error) {
	dir, err := os.Open(s.endpointsDir(networkID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	ids := make([]string, 0, len(names))
	for _, name := range names {
		if id, ok := cutSuffix(name, endpointSuffix); ok && id != containerID {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	before, now := s.cache.recordsOf(networkID), make(cachedRecords, len(ids))
	all := make([]*Record, 0, len(ids))
	var errs []error
	for _, id := range ids {
		c, err := before[id].readAgain(dir, id+endpointSuffix)
		if err != nil {
			errs = append(errs, fmt.Errorf("read stored endpoint: %w", err))
			continue
		}
		now[id] = c
		all = append(all, c.Record)
	}
	s.cache.setRecords(networkID, now)
	return all, errors.Join(errs...)
}

// readAgain reads a record, unless its file is the one that was read before.
func (c cachedRecord) readAgain(dir *os.File, name string) (cachedRecord, error) {
	path := dir.Name() + "/" + name
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, 0); err != nil {
		return cachedRecord{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	id := idOf(st)
	if c.Record != nil && c.file == id {
		return c, nil
	}
	r, err := readRecord(path)
	return cachedRecord{&r, id}, err
}

func idOf(st unix.Stat_t) fileID { return fileID{st.Ino, st.Mtim} }

// recordsOf returns a network's records as they were last read.
func (c *Cache) recordsOf(networkID string) cachedRecords {
	if c == nil {
		return nil
	}
	return c.networks[networkID]
}

func (c *Cache) setRecords(networkID string, all cachedRecords) {
	if c == nil {
		return
	}
	if c.networks == nil {
		c.networks = make(map[string]cachedRecords)
	}
	c.networks[networkID] = all
}

// forgetExcept forgets all networks but these.
func (c *Cache) forgetExcept(except []string) {
	if c != nil {
		maps.DeleteFunc(c.peers, func(id string, _ cachedPeers) bool { return !slices.Contains(except, id) })
		maps.DeleteFunc(c.networks, func(id string, _ cachedRecords) bool { return !slices.Contains(except, id) })
		maps.DeleteFunc(c.dirs, func(id string, _ cachedDir) bool { return !slices.Contains(except, id) })
	}
}
