package wireguard

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
)

// Key is a key of Curve25519: a private one, or the public one of a peer.
type Key [32]byte

// NewPrivateKey makes a private key.
func NewPrivateKey() (Key, error) {
	var k Key
	if _, err := rand.Read(k[:]); err != nil {
		return Key{}, fmt.Errorf("make a WireGuard key: %w", err)
	}
	// As RFC 7748, section 5, asks for. WireGuard does so with any key that it is given, and would read it
	// back as another one.
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k, nil
}

// Public returns the public key of a private one. The public key of the zero key, which stands for none,
// is zero.
func (k Key) Public() Key {
	if k.IsZero() {
		return Key{}
	}
	private, err := ecdh.X25519().NewPrivateKey(k[:])
	if err != nil {
		panic(err) // any 32 bytes are a key
	}
	return Key(private.PublicKey().Bytes())
}

// IsZero tells whether there is no key.
func (k Key) IsZero() bool { return k == Key{} }

// String prints a key as `wg` does. Only public ones are to be printed.
func (k Key) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// ParseKey reads what String prints.
func ParseKey(s string) (Key, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(Key{}) {
		// The text may be a private key, and is not repeated.
		return Key{}, fmt.Errorf("read a WireGuard key: it must be %d bytes in base64", len(Key{}))
	}
	return Key(b), nil
}

// MarshalText prints a key as String does.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText prints.
func (k *Key) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKey(string(text))
	return err
}
