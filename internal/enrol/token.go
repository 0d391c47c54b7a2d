package enrol

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// DefaultPort is the TCP port on which a host with tokens lets others in.
const DefaultPort = 7949

// Token is what a joining host has to know: where to ask, how to recognise who answers, and what to
// say.
type Token struct {
	Addrs       []netip.Addr // of the host that issued it, at least one
	Port        uint16       // TCP
	Fingerprint Fingerprint
	Secret      Secret
}

// Fingerprint identifies a certificate: the first half of the SHA-256 of its public key. To find
// another key with the same takes 2^128 attempts, since only the issuer chooses what is hashed.
type Fingerprint [16]byte

// ID is how people and files call the token of the certificate. It is no secret.
func (f Fingerprint) ID() string { return hex.EncodeToString(f[:4]) }

// Secret is what the joining host must know, 128 random bits.
type Secret [16]byte

// String hides the secret from logs.
func (Secret) String() string { return "(secret)" }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// NewSecret returns a random secret.
func NewSecret() (s Secret) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}

// hash is what the issuer keeps of a secret. The secret is random, so nobody finds it by trying.
func (s Secret) hash() [sha256.Size]byte {
	return sha256.Sum256(append([]byte("vxlan-driver join secret "), s[:]...))
}

const (
	tokenPrefix = "vx1"
	checksumLen = 4
	// maxAddrs is more than a host has on its underlay.
	maxAddrs = 8
	family4  = 4
	family6  = 6
)

// encoding has no character that a shell or an address bar treats as its own. Strict: one token has
// one spelling.
var encoding = base64.RawURLEncoding.Strict()

// String prints the token as a person types it: vx1.SEEDS.FINGERPRINT.SECRET. The secret is
// followed by a checksum of the whole.
func (t Token) String() string {
	head := strings.Join([]string{tokenPrefix, encoding.EncodeToString(t.encodeSeeds()),
		encoding.EncodeToString(t.Fingerprint[:])}, ".")
	return head + "." + encoding.EncodeToString(append(t.Secret[:], checksum(head, t.Secret)...))
}

// encodeSeeds returns the port and the addresses.
func (t Token) encodeSeeds() []byte {
	b := binary.BigEndian.AppendUint16(nil, t.Port)
	for _, a := range t.Addrs {
		family := byte(family6)
		if a.Is4() {
			family = family4
		}
		b = append(append(b, family), a.AsSlice()...)
	}
	return b
}

func checksum(head string, secret Secret) []byte {
	sum := sha256.Sum256(append([]byte(head), secret[:]...))
	return sum[:checksumLen]
}

// errMistyped is for whatever a slip of the hand or of the clipboard does to a token.
var errMistyped = errors.New(
	"the token is mistyped or cut off: its checksum is wrong; copy all of it, from \"vx1.\" on")

// ParseToken reads a token as a person typed it. Errors never have the secret.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	prefix, rest, _ := strings.Cut(text, ".")
	switch {
	case text == "":
		return Token{}, errors.New("the token is empty")
	case prefix != tokenPrefix && isLaterVersion(prefix) && strings.Contains(rest, "."):
		return Token{}, fmt.Errorf(
			"the token is of a later version, %s; install the version of vxlanctl that the other host has", prefix)
	case prefix != tokenPrefix:
		return Token{}, errors.New("this is no token; a token begins with \"vx1.\", as `vxlanctl token create` prints it")
	}
	parts := strings.Split(rest, ".")
	if len(parts) != 3 {
		return Token{}, errMistyped
	}
	seeds, err1 := encoding.DecodeString(parts[0])
	fingerprint, err2 := encoding.DecodeString(parts[1])
	secret, err3 := encoding.DecodeString(parts[2])
	t := Token{}
	if errors.Join(err1, err2, err3) != nil || len(fingerprint) != len(t.Fingerprint) ||
		len(secret) != len(t.Secret)+checksumLen {
		return Token{}, errMistyped
	}
	t.Fingerprint, t.Secret = Fingerprint(fingerprint), Secret(secret[:len(t.Secret)])
	head := text[:strings.LastIndexByte(text, '.')]
	if !bytes.Equal(secret[len(t.Secret):], checksum(head, t.Secret)) || !t.parseSeeds(seeds) {
		return Token{}, errMistyped
	}
	return t, nil
}

// isLaterVersion tells whether a prefix is that of tokens to come.
func isLaterVersion(prefix string) bool {
	digits, isOurs := strings.CutPrefix(prefix, "vx")
	return isOurs && digits != "" && strings.Trim(digits, "0123456789") == ""
}

func (t *Token) parseSeeds(b []byte) bool {
	if len(b) < 2 {
		return false
	}
	t.Port = binary.BigEndian.Uint16(b)
	for b = b[2:]; len(b) > 0; {
		size := map[byte]int{family4: 4, family6: 16}[b[0]]
		if size == 0 || len(b) < 1+size {
			return false
		}
		addr, _ := netip.AddrFromSlice(b[1 : 1+size])
		if !isUnicast(addr) {
			return false
		}
		t.Addrs, b = append(t.Addrs, addr), b[1+size:]
	}
	return t.Port != 0 && len(t.Addrs) > 0 && len(t.Addrs) <= maxAddrs
}

func isUnicast(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && !a.Is4In6()
}
