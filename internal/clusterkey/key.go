package clusterkey

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"vxlan-driver/internal/regfile"
)

// Key is a secret that all hosts of a cluster share. It encrypts and authenticates (AES-256-GCM):
// who has it is trusted, and may speak for any host.
type Key [keyLen]byte

const keyLen = 32

// maxKeys is enough for any rotation; each refused packet is tried with all.
const maxKeys = 8

// String hides the key from logs.
func (Key) String() string { return "(secret)" }

// GoString hides the key from %#v.
func (k Key) GoString() string { return k.String() }

// Parse reads a key file. A line has 32 bytes in base64 or hexadecimal; empty lines and lines
// that start with # are ignored. The first key encrypts, and all decrypt. So a key can be changed
// without an interruption: give every host the new one on the second line, then move it to the
// first everywhere, then drop the old one (see gossip.KeyFile). Errors name the line, never its content.
func Parse(data []byte) ([]Key, error) {
	var keys []Key
	number := 0
	for line := range bytes.Lines(data) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		key, err := parseKey(string(line))
		if err != nil {
			return nil, fmt.Errorf("key file line %d: %w", number, err)
		}
		if slices.Contains(keys, key) {
			return nil, fmt.Errorf("key file line %d: repeats a key", number)
		}
		keys = append(keys, key)
	}
	switch {
	case len(keys) == 0:
		return nil, fmt.Errorf("key file: has no key; make one with `head -c %d /dev/urandom | base64`", keyLen)
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("key file: has %d keys, at most %d are allowed", len(keys), maxKeys)
	}
	return keys, nil
}

// parseKey tells the two encodings apart by their lengths, which differ.
func parseKey(text string) (Key, error) {
	var raw []byte
	var err error
	if len(text) == hex.EncodedLen(keyLen) {
		raw, err = hex.DecodeString(text)
	} else {
		raw, err = base64.StdEncoding.Strict().DecodeString(text)
	}
	if err != nil {
		return Key{}, fmt.Errorf("must be %d bytes in base64 (%d characters) or hexadecimal (%d)",
			keyLen, base64.StdEncoding.EncodedLen(keyLen), hex.EncodedLen(keyLen))
	}
	if len(raw) != keyLen {
		return Key{}, fmt.Errorf("has %d bytes, must have %d", len(raw), keyLen)
	}
	if (Key(raw) == Key{}) {
		return Key{}, fmt.Errorf("is all zeros")
	}
	return Key(raw), nil
}

// Load reads a key file that nobody but its owner may read.
func Load(path string) ([]Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, explainUnreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %s: is no regular file", path)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key file %s: others may read it (mode %04o); run `chmod 600 %s`", path, info.Mode().Perm(),
			path)
	}
	data, err := regfile.ReadText(path)
	if err != nil {
		return nil, explainUnreadable(path, err)
	}
	keys, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// hiddenDirs are directories in which vxland.service sees no files of the host.
var hiddenDirs = []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"}

// explainUnreadable adds to an error of reading a key file what may be the cause: the agent's unit
// may do less than root in a shell, to whom all looks right.
func explainUnreadable(path string, err error) error {
	for _, dir := range hiddenDirs {
		if strings.HasPrefix(path, dir) {
			return fmt.Errorf("read key file: %w; with systemd the agent sees nothing below %s: move the file, as to /etc/vxlan",
				err, dir)
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("read key file: %w; the file must belong to root: `chown root %s`", err, path)
	}
	return fmt.Errorf("read key file: %w", err)
}
