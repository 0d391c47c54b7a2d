package gossip

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/hashicorp/memberlist"
)

// ID tells a person which key it is: the beginning of a hash of it, in hexadecimal.
func (k Key) ID() string {
	sum := sha256.Sum256(append([]byte("vxlan-driver key "), k[:]...))
	return hex.EncodeToString(sum[:4])
}

// describeKeys says what each key is used for.
func describeKeys(keys []Key) string {
	var b bytes.Buffer
	for i, k := range keys {
		switch i {
		case 0:
			fmt.Fprintf(&b, "%s encrypts", k.ID())
		case 1:
			fmt.Fprintf(&b, "; only to decrypt: %s", k.ID())
		default:
			fmt.Fprintf(&b, ", %s", k.ID())
		}
	}
	return b.String()
}

// newKeyring returns the library's form of keys.
func newKeyring(keys []Key) (*memberlist.Keyring, error) {
	var raw [][]byte
	for _, k := range keys {
		raw = append(raw, k[:])
	}
	ring, err := memberlist.NewKeyring(raw, raw[0])
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	return ring, nil
}

// replaceKeys makes a keyring that is in use have these keys: the first encrypts. At no time does
// it encrypt with another of them, as other hosts may not have that one yet.
//
// RemoveKey moves the keys behind the one that it removes, in memory that is being read. So only
// the last key is ever removed. A key that stays is removed too where it is behind one that goes,
// and is added again. A rotation has no such key.
func replaceKeys(ring *memberlist.Keyring, keys []Key) error {
	for _, k := range keys {
		if err := ring.AddKey(k[:]); err != nil {
			return fmt.Errorf("add key: %w", err)
		}
	}
	if err := ring.UseKey(keys[0][:]); err != nil {
		return fmt.Errorf("use key: %w", err)
	}
	have := ring.GetKeys()
	stays := func(raw []byte) bool { return slices.Contains(keys, Key(raw)) }
	firstGone := slices.IndexFunc(have, func(raw []byte) bool { return !stays(raw) })
	if firstGone < 0 {
		return nil
	}
	for _, raw := range slices.Backward(have[firstGone:]) {
		if err := ring.RemoveKey(raw); err != nil {
			return fmt.Errorf("remove key: %w", err)
		}
	}
	for _, raw := range have[firstGone:] {
		if stays(raw) {
			if err := ring.AddKey(raw); err != nil {
				return fmt.Errorf("add key: %w", err)
			}
		}
	}
	return nil
}
