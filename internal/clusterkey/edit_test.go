package clusterkey

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A rotation edits the file as a person would: comments stay, and no step makes a host deaf.
func TestRotationOfAFile(t *testing.T) {
	old, fresh := Key{1}, Key{2}
	start := "# ours\n" + hex.EncodeToString(old[:]) // a person's spelling, without a newline
	steps := []struct {
		name string
		edit func([]byte, Key) ([]byte, error)
		key  Key
		want string
	}{
		{"install", Install, fresh, start + "\n" + fresh.Line()},
		{"install again", Install, fresh, start + "\n" + fresh.Line()},
		{"use", Use, fresh, "# ours\n" + fresh.Line() + hex.EncodeToString(old[:]) + "\n"},
		{"use again", Use, fresh, "# ours\n" + fresh.Line() + hex.EncodeToString(old[:]) + "\n"},
		{"remove", Remove, old, "# ours\n" + fresh.Line()},
		{"remove again", Remove, old, "# ours\n" + fresh.Line()},
	}
	file := []byte(start)
	for _, s := range steps {
		before := string(file)
		edited, err := s.edit(file, s.key)
		if err != nil || string(edited) != s.want {
			t.Errorf("%s: %q, %v", s.name, edited, err)
		}
		if string(file) != before {
			t.Errorf("%s has changed the file that it was given", s.name)
		}
		file = edited
	}
}

func TestEditsThatAreRefused(t *testing.T) {
	old, fresh := Key{1}, Key{2}
	for _, tt := range []struct {
		name string
		edit func([]byte, Key) ([]byte, error)
		file string
		key  Key
		want string
	}{
		{"a ninth key", Install, manyKeys(8), Key{1, 1}, "has 8 keys already"},
		{"use of a key that is not there", Use, old.Line(), fresh, "has no key " + fresh.ID()},
		{"removal of the key that encrypts", Remove, old.Line() + fresh.Line(), old, "key " + old.ID() + " encrypts"},
		{"an edit of a wrong file", Install, "AAAA\n", fresh, "line 1"},
	} {
		if _, err := tt.edit([]byte(tt.file), tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "key"), filepath.Join(dir, "real")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	one, two := New(), New()
	if err := os.WriteFile(target, []byte(one.Line()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte(two.Line())); err != nil {
		t.Fatal(err)
	}
	if keys, err := Load(target); err != nil || !slices.Equal(keys, []Key{two}) {
		t.Errorf("behind the link: %v", err)
	}
	if err := WriteFile(path, []byte("AAAA")); err == nil {
		t.Error("a file that no agent can use was written")
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 2 {
		t.Errorf("left %v", files)
	}
}
