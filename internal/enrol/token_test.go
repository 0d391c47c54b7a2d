package enrol

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func testToken(addrs ...string) Token {
	t := Token{Port: DefaultPort, Fingerprint: Fingerprint{1, 2, 3}, Secret: Secret{9, 8, 7}}
	for _, a := range addrs {
		t.Addrs = append(t.Addrs, netip.MustParseAddr(a))
	}
	return t
}

func TestTokenRoundTrip(t *testing.T) {
	for _, want := range []Token{
		testToken("192.0.2.1"), testToken("2001:db8::1"), testToken("192.0.2.1", "2001:db8::1", "198.51.100.7"),
		{Addrs: []netip.Addr{netip.MustParseAddr("10.1.2.3")}, Port: 1, Secret: NewSecret()},
	} {
		got, err := ParseToken("  " + want.String() + "\n")
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v", want, got, err)
		}
	}
	// It fits a line of a terminal, with the command.
	if s := "vxlanctl join " + testToken("192.0.2.1").String(); len(s) > 80 {
		t.Errorf("%d characters: %s", len(s), s)
	}
}

// Whatever one slip does to a token, it is said to be one: no other host is asked, and nobody is
// told that the token is unknown.
func TestEachSlipIsSeen(t *testing.T) {
	typed := testToken("192.0.2.1", "2001:db8::1").String()
	for i := range typed {
		slips := []string{typed[:i] + typed[i+1:], typed[:i], typed[:i] + string(typed[i]) + typed[i:]}
		for _, c := range "aZ09-_.x" {
			slips = append(slips, typed[:i]+string(c)+typed[i+1:])
		}
		if i > 0 {
			slips = append(slips, typed[:i-1]+string(typed[i])+string(typed[i-1])+typed[i+1:])
		}
		for _, slip := range slips {
			if got, err := ParseToken(slip); err == nil && slip != typed {
				t.Errorf("%s is taken for a token: %+v", slip, got)
			}
		}
	}
}

func TestTokenErrors(t *testing.T) {
	good := testToken("192.0.2.1").String()
	for text, want := range map[string]string{
		"":      "is empty",
		"hello": "this is no token",
		"vx2." + strings.TrimPrefix(good, "vx1."): "of a later version, vx2",
		good[:len(good)-1]:                        "mistyped or cut off",
		"vx1":                                     "mistyped or cut off",
		"vx1...":                                  "mistyped or cut off",
		withSeeds(nil):                            "mistyped",
		withSeeds([]byte{0, 0, 4, 1, 2, 3, 4}):    "mistyped", // port 0
		withSeeds([]byte{0, 1}):                   "mistyped", // no address
		withSeeds([]byte{0, 1, 5, 1, 2, 3, 4}):    "mistyped", // no such family
		withSeeds([]byte{0, 1, 4, 0, 0, 0, 0}):    "mistyped", // no host's address
	} {
		_, err := ParseToken(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// withSeeds is a token with a right checksum over wrong seeds.
func withSeeds(seeds []byte) string {
	head := tokenPrefix + "." + encoding.EncodeToString(seeds) + "." + encoding.EncodeToString(make([]byte, 16))
	var s Secret
	return head + "." + encoding.EncodeToString(append(s[:], checksum(head, s)...))
}

func TestSecretIsNotPrinted(t *testing.T) {
	token := testToken("192.0.2.1")
	token.Secret = Secret{0xab, 0xcd}
	for _, s := range []string{fmt.Sprintf("%v %+v %#v", token.Secret, struct{ Secret Secret }{token.Secret}, token.Secret)} {
		if strings.Contains(s, "171") || strings.Contains(strings.ToLower(s), "abcd") {
			t.Errorf("printed %s", s)
		}
	}
}

// FuzzToken: no text makes the parser panic, and what it takes has one spelling.
func FuzzToken(f *testing.F) {
	f.Add(testToken("192.0.2.1").String())
	f.Add(testToken("2001:db8::1").String())
	f.Add(withSeeds([]byte{0, 1, 6}))
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err == nil && token.String() != strings.TrimSpace(text) {
			t.Errorf("%q is read as %s", text, token)
		}
	})
}
