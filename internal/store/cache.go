package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/network"
)

// Cache keeps records for a program that reads all of a network again and again. Reading 500 takes
// 13 ms, or 0.6 ms from the cache. A file is replaced as a whole, so a changed record has another
// inode or time. Only one Store may use it at a time. It also keeps peers, which are many hosts.
type Cache struct {
	// trusted returns the records of a network that are all as they were, and trust keeps those that are read
	// then; nil: each file is looked at. The plugin, which reads once, does without this code.
	trusted  func(networkID, dir string) ([]*Record, bool)
	trust    func(networkID, dir string) (keep func([]*Record))
	networks map[string]cachedRecords
	peers    map[string]cachedPeers
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
	if s.cache == nil || s.cache.trusted == nil {
		return s.readRecords(networkID, "")
	}
	dir := s.endpointsDir(networkID)
	if records, ok := s.cache.trusted(networkID, dir); ok {
		return slices.Clone(records), nil
	}
	keep := s.cache.trust(networkID, dir)
	records, err := s.readRecords(networkID, "")
	if err == nil {
		keep(records)
	}
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
	}
}
