package clusterkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// ID tells a person which key it is: the beginning of a hash of it, in hexadecimal.
func (k Key) ID() string {
	sum := sha256.Sum256(append([]byte("vxlan-driver key "), k[:]...))
	return hex.EncodeToString(sum[:4])
}

// Describe says what each key is used for.
func Describe(keys []Key) string {
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
