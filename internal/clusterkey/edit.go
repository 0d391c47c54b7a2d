package clusterkey

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// New returns a random key.
func New() (k Key) {
	_, _ = rand.Read(k[:]) // never fails
	return k
}

// Line is the key as a line of a key file.
func (k Key) Line() string { return base64.StdEncoding.EncodeToString(k[:]) + "\n" }

// ParseLine reads what Line returned.
func ParseLine(line string) (Key, error) {
	keys, err := Parse([]byte(line))
	if err != nil {
		return Key{}, err
	}
	return keys[0], nil
}

// Install returns a key file with one more key, which only decrypts. A file that has the key stays
// as it is.
func Install(file []byte, key Key) ([]byte, error) {
	keys, err := Parse(file)
	if err != nil || slices.Contains(keys, key) {
		return file, err
	}
	if len(keys) == maxKeys {
		return nil, fmt.Errorf("key file: has %d keys already, and more are not allowed; remove old ones", maxKeys)
	}
	if !bytes.HasSuffix(file, []byte("\n")) {
		file = append(slices.Clone(file), '\n')
	}
	return append(slices.Clip(file), key.Line()...), nil
}

// Use returns a key file whose first key, which encrypts, is that one. The file must have it.
func Use(file []byte, key Key) ([]byte, error) {
	keys, err := Parse(file)
	switch {
	case err != nil:
		return nil, err
	case !slices.Contains(keys, key):
		return nil, fmt.Errorf("key file: has no key %s", key.ID())
	case keys[0] == key:
		return file, nil
	}
	before := len(file)
	var rest [][]byte
	for line := range bytes.Lines(file) {
		if isLineOf(line, key) {
			continue
		}
		if before == len(file) && isKeyLine(line) {
			rest, before = append(rest, []byte(key.Line())), 0
		}
		rest = append(rest, line)
	}
	return bytes.Join(rest, nil), nil
}

// Remove returns a key file without a key. A file that has no such key stays as it is. The key that
// encrypts is not removed: others would not be understood.
func Remove(file []byte, key Key) ([]byte, error) {
	keys, err := Parse(file)
	switch {
	case err != nil:
		return nil, err
	case keys[0] == key:
		return nil, fmt.Errorf("key file: key %s encrypts; take another one into use first", key.ID())
	}
	var rest [][]byte
	for line := range bytes.Lines(file) {
		if !isLineOf(line, key) {
			rest = append(rest, line)
		}
	}
	return bytes.Join(rest, nil), nil
}

func isKeyLine(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) > 0 && line[0] != '#'
}

func isLineOf(line []byte, key Key) bool {
	if !isKeyLine(line) {
		return false
	}
	k, err := parseKey(string(bytes.TrimSpace(line)))
	return err == nil && k == key
}

// WriteFile replaces a key file, which only root may read. After a power cut it is the old or the
// new one.
func WriteFile(path string, content []byte) (err error) {
	if _, err := Parse(content); err != nil {
		return err
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the link stays
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("write key file: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write key file: %w", err), os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
