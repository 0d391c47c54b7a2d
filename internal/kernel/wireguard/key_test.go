package wireguard_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/kernel/wireguard"
)

// Bob's keys in RFC 7748, section 6.1.
func TestPublicKey(t *testing.T) {
	const private = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
	const public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
	var k wireguard.Key
	if k.Public() != k {
		t.Error("no key has a public one")
	}
	if _, err := hex.Decode(k[:], []byte(private)); err != nil {
		t.Fatal(err)
	}
	if pub := k.Public(); hex.EncodeToString(pub[:]) != public {
		t.Errorf("%x", pub)
	}
}

func TestPrivateKeyIsAsWireGuardReadsItBack(t *testing.T) {
	seen := make(map[wireguard.Key]bool)
	for range 100 {
		k, err := wireguard.NewPrivateKey()
		if err != nil || k[0]&7 != 0 || k[31]>>6 != 1 || seen[k] {
			t.Fatalf("%x, %v", k, err)
		}
		seen[k] = true
	}
}

func TestKeyText(t *testing.T) {
	k, err := wireguard.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(k)
	var again wireguard.Key
	if err != nil || json.Unmarshal(text, &again) != nil || again != k {
		t.Errorf("%s, %v; read back as %s", text, err, again)
	}
	for _, wrong := range []string{"", "AAAA", k.String() + "A", strings.TrimRight(k.String(), "="), "not a key"} {
		if got, err := wireguard.ParseKey(wrong); err == nil || wrong != "" && strings.Contains(err.Error(), wrong) {
			t.Errorf("%q: %s, %v", wrong, got, err)
		}
	}
}

func TestPrintedDeviceHasNoPrivateKey(t *testing.T) {
	k, err := wireguard.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	d := wireguard.Device{Name: "wg0-n", PrivateKey: k, MTU: 1440}
	for _, format := range []string{"%v", "%+v", "%s", "%#v"} {
		got := fmt.Sprintf(format, d)
		secrets := []string{k.String(), hex.EncodeToString(k[:]), fmt.Sprint(k[:])}
		if slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(got, s) }) {
			t.Errorf("%s prints %s", format, got)
		}
	}
}
