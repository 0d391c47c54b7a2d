package gossip

import (
	"fmt"
	"slices"

	"github.com/hashicorp/memberlist"

	"vxlan-driver/internal/clusterkey"
)

// newKeyring returns the library's form of keys.
func newKeyring(keys []clusterkey.Key) (*memberlist.Keyring, error) {
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
func replaceKeys(ring *memberlist.Keyring, keys []clusterkey.Key) error {
	for _, k := range keys {
		if err := ring.AddKey(k[:]); err != nil {
			return fmt.Errorf("add key: %w", err)
		}
	}
	if err := ring.UseKey(keys[0][:]); err != nil {
		return fmt.Errorf("use key: %w", err)
	}
	have := ring.GetKeys()
	stays := func(raw []byte) bool { return slices.Contains(keys, clusterkey.Key(raw)) }
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
