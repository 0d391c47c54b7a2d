package encryption

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/kernel/wireguard"
)

func testKeys(t *testing.T) hostKeys {
	t.Helper()
	keys := hostKeys{Sends: 3, Announced: 3}
	for i := range 2 {
		private, err := wireguard.NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		keys.Keys = append(keys.Keys, hostKey{Generation: uint64(3 + i), Slot: 1 - i, Private: private, Port: 51820,
			Made: time.Hour, public: private.Public()})
	}
	return keys
}

func TestKeysAreKept(t *testing.T) {
	dir := KeyDir(filepath.Join(t.TempDir(), "wireguard"))
	if keys, err := dir.load("7c7b"); err != nil || len(keys.Keys) != 0 {
		t.Errorf("at first %+v, %v", keys, err)
	}
	want := testKeys(t)
	for range 2 {
		if err := dir.save("7c7b", want); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := dir.load("7c7b"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for path, mode := range map[string]os.FileMode{string(dir): 0o700, dir.path("7c7b"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v, want %v", path, info.Mode(), err, mode)
		}
	}
	if err := os.WriteFile(filepath.Join(string(dir), ".new-1"), nil, 0o600); err != nil { // of an agent that was killed
		t.Fatal(err)
	}
	if err := dir.save("8d8c", want); err != nil {
		t.Fatal(err)
	}
	if err := dir.removeExcept(func(id string) bool { return id == "8d8c" }); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(string(dir)); err != nil || len(left) != 1 || left[0].Name() != "8d8c.json" {
		t.Errorf("%v is left, %v", left, err)
	}
	for range 2 {
		if err := dir.remove("8d8c"); err != nil {
			t.Error(err)
		}
	}
}

// Keys that cannot be used are no reason to make new ones: an administrator has to know. What is said does
// not repeat them.
func TestDamagedKeysAreRefused(t *testing.T) {
	for name, damage := range map[string]func(*hostKeys){
		"no keys":              func(k *hostKeys) { k.Keys = nil },
		"three keys":           func(k *hostKeys) { k.Keys = append(k.Keys, k.Keys[0]) },
		"one generation twice": func(k *hostKeys) { k.Keys[1].Generation = k.Keys[0].Generation },
		"generation 0":         func(k *hostKeys) { k.Keys[0].Generation = 0 },
		"one device for both":  func(k *hostKeys) { k.Keys[1].Slot = 1 },
		"a third device":       func(k *hostKeys) { k.Keys[1].Slot = 2 },
		"no private key":       func(k *hostKeys) { k.Keys[1].Private = wireguard.Key{} },
		"sends by another":     func(k *hostKeys) { k.Sends = 5 },
		"announced by another": func(k *hostKeys) { k.Announced = 0 },
	} {
		dir, keys := KeyDir(t.TempDir()), testKeys(t)
		damage(&keys)
		if err := dir.save("7c7b", keys); err != nil {
			t.Fatal(err)
		}
		if got, err := dir.load("7c7b"); err == nil || !strings.Contains(err.Error(), "remove the file") ||
			len(got.Keys) > 0 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	dir, keys := KeyDir(t.TempDir()), testKeys(t)
	if err := dir.save("7c7b", keys); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(dir.path("7c7b"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := os.WriteFile(dir.path("7c7b"), data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := dir.load("7c7b"); err == nil || strings.Contains(err.Error(), keys.Keys[0].Private.String()[:8]) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(data), err)
		}
	}
}
