package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"vxlan-driver/internal/regfile"
)

const (
	endpointSuffix = ".json"
	// Ids never start with a dot, so neither does an endpoint's file.
	unfinishedPrefix = ".tmp-"
)

func (s *Store) networkDir(id string) string { return filepath.Join(s.dir, "networks", id) }

func (s *Store) endpointsDir(networkID string) string {
	return filepath.Join(s.networkDir(networkID), "endpoints")
}

func (s *Store) recordPath(networkID, containerID string) string {
	return filepath.Join(s.endpointsDir(networkID), containerID+endpointSuffix)
}

// listNames lists the files of a directory that have the suffix, without it.
func listNames(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read store: %w", err)
	}
	var all []string
	for _, e := range entries {
		if name, ok := cutSuffix(e.Name(), suffix); ok {
			all = append(all, name)
		}
	}
	return all, nil
}

// cutSuffix returns a file's name without the suffix, if it has it.
func cutSuffix(name, suffix string) (string, bool) {
	name, ok := strings.CutSuffix(name, suffix)
	return name, ok && name != "" && name[0] != '.'
}

// removeFile removes a file that may be gone.
func removeFile(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeIfChanged writes a file, unless it has the data already.
func writeIfChanged(path string, data []byte) error {
	if have, err := regfile.ReadState(path); err == nil && bytes.Equal(have, data) {
		return nil
	}
	return writeFile(path, data)
}

// writeFile replaces a file as a whole, so a reader never sees half of one, not even after a crash.
// It does not sync: /run does not outlive the kernel anyway.
func writeFile(path string, data []byte) error {
	dir, name := filepath.Split(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// One name is enough, since the lock is held; a crash's leftover is overwritten.
	unfinished := filepath.Join(dir, unfinishedPrefix+name)
	if err := os.WriteFile(unfinished, data, 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}
