package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"vxlan-driver/internal/network"
	"vxlan-driver/internal/regfile"
)

// SetDNSPort keeps the port on which a network's names are answered, as long as the network has
// endpoints. Each program that sets the firewall needs it, and only some know why it is not 53.
func (s *Store) SetDNSPort(networkID string, port uint16) error {
	data := strconv.AppendUint(nil, uint64(port), 10)
	if err := writeFile(filepath.Join(s.networkDir(networkID), "dns-port"), data); err != nil {
		return fmt.Errorf("store DNS port of network %s: %w", networkID, err)
	}
	return nil
}

// DNSPort returns the port that was set, or 0 where none was, or the file is damaged.
func (s *Store) DNSPort(networkID string) (uint16, error) {
	data, err := regfile.ReadText(filepath.Join(s.networkDir(networkID), "dns-port"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read stored DNS port: %w", err)
	}
	port, err := strconv.ParseUint(string(data), 10, 16)
	if err != nil {
		return 0, nil // damaged: the agent finds it out again
	}
	return uint16(port), nil
}

// SetPeers keeps what the agent has found out about a network, as long as the network has
// endpoints.
func (s *Store) SetPeers(networkID string, p network.Peers) error {
	path := filepath.Join(s.networkDir(networkID), peersFile)
	data, err := json.Marshal(p)
	if err == nil {
		err = writeFile(path, data)
	}
	if err != nil {
		return fmt.Errorf("store peers of network %s: %w", networkID, err)
	}
	var st unix.Stat_t
	if s.cache != nil && unix.Stat(path, &st) == nil {
		// They are read next. The caller may change its slices.
		p.Flood, p.HostAddrs = slices.Clone(p.Flood), slices.Clone(p.HostAddrs)
		p.WireGuardAddrs = slices.Clone(p.WireGuardAddrs)
		s.cache.keepPeers(networkID, cachedPeers{p, true, idOf(st)})
	}
	return nil
}

// Peers returns the peers that were set, and whether they were. A damaged file counts as none: the
// agent writes what it finds out again.
func (s *Store) Peers(networkID string) (p network.Peers, ok bool, err error) {
	path := filepath.Join(s.networkDir(networkID), peersFile)
	var st unix.Stat_t
	if s.cache == nil || unix.Stat(path, &st) != nil {
		return readPeers(path)
	}
	if have := s.cache.peers[networkID]; have.file == idOf(st) {
		return have.Peers, have.ok, nil
	}
	if p, ok, err = readPeers(path); err == nil {
		s.cache.keepPeers(networkID, cachedPeers{p, ok, idOf(st)})
	}
	return p, ok, err
}

func (c *Cache) keepPeers(networkID string, p cachedPeers) {
	if c.peers == nil {
		c.peers = make(map[string]cachedPeers)
	}
	c.peers[networkID] = p
}

func readPeers(path string) (p network.Peers, ok bool, err error) {
	data, err := regfile.ReadState(path)
	if errors.Is(err, fs.ErrNotExist) {
		return network.Peers{}, false, nil
	}
	if err != nil {
		return network.Peers{}, false, fmt.Errorf("read stored peers: %w", err)
	}
	if json.Unmarshal(data, &p) != nil {
		return network.Peers{}, false, nil
	}
	return p, true, nil
}

// ForgetPeers removes the peers.
func (s *Store) ForgetPeers(networkID string) error {
	if err := removeFile(filepath.Join(s.networkDir(networkID), peersFile)); err != nil {
		return fmt.Errorf("forget peers of network %s: %w", networkID, err)
	}
	return nil
}

const peersFile = "peers.json"
