package clusterkey

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	one, two := Key{1, 2, 3}, Key{255, 254}
	b64 := func(k Key) string { return base64.StdEncoding.EncodeToString(k[:]) }
	tests := []struct {
		name, file string
		want       []Key
		err        string
	}{
		{name: "base64", file: b64(one) + "\n", want: []Key{one}},
		{name: "hexadecimal, no newline", file: hex.EncodeToString(one[:]), want: []Key{one}},
		{name: "two keys, comments, Windows line ends", file: "# new\r\n" + b64(two) + "\r\n\r\n# old\r\n" + hex.EncodeToString(one[:]) + "\r\n", want: []Key{two, one}},
		{name: "empty", file: "", err: "key file: has no key; make one with"},
		{name: "only a comment", file: "# x\n", err: "has no key"},
		{name: "too short", file: "\nAAAA\n", err: "key file line 2: has 3 bytes, must have 32"},
		{name: "neither", file: "secret!", err: "key file line 1: must be 32 bytes in base64 (44 characters) or hexadecimal (64)"},
		{name: "broken hexadecimal", file: strings.Repeat("xy", 32), err: "line 1: must be 32 bytes"},
		{name: "zeros", file: hex.EncodeToString(make([]byte, 32)), err: "line 1: is all zeros"},
		{name: "twice", file: b64(one) + "\n" + b64(one), err: "line 2: repeats a key"},
		{name: "too many", file: manyKeys(9), err: "has 9 keys, at most 8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.file))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("got %v, want %q", err, tt.err)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %d keys, want %d", len(got), len(tt.want))
			}
			if err != nil && strings.Contains(err.Error(), "secret!") {
				t.Errorf("the error gives the key away: %v", err)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%064x\n", i+1)
	}
	return b.String()
}

func TestKeysAreNotPrinted(t *testing.T) {
	k := Key{0xab, 0xcd}
	for _, s := range []string{fmt.Sprint(k), fmt.Sprintf("%v %s %#v", k, k, k), fmt.Sprintf("%+v", struct{ Keys []Key }{[]Key{k}})} {
		if strings.Contains(strings.ToLower(s), "ab") && strings.Contains(s, "cd") || strings.Contains(s, "171") {
			t.Errorf("printed %s", s)
		}
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "read key file") {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte(manyKeys(1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file for all to read: %v", err)
	}
	// It must not be said that the directory's mode is to be changed.
	if _, err := Load(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a directory: %v", err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(bad); err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("an error without the file's name: %v", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if keys, err := Load(path); err != nil || len(keys) != 1 {
		t.Errorf("got %d keys, %v", len(keys), err)
	}
}

// What the agent's unit hides looks right to root in a shell.
func TestUnreadableKeyFileIsExplained(t *testing.T) {
	for _, tt := range []struct {
		path string
		err  error
		want string
	}{
		{"/root/key", fs.ErrPermission, "with systemd the agent sees nothing below /root/"},
		{"/home/a/key", fs.ErrNotExist, "with systemd the agent sees nothing below /home/"},
		{"/etc/vxlan/key", fs.ErrPermission, "must belong to root: `chown root /etc/vxlan/key`"},
		{"/etc/vxlan/key", fs.ErrNotExist, "file does not exist"},
	} {
		if got := explainUnreadable(tt.path, tt.err).Error(); !strings.HasSuffix(got, tt.want) && !strings.Contains(got, tt.want+":") {
			t.Errorf("%s, %v: %s", tt.path, tt.err, got)
		}
	}
}

// FuzzParse: no file makes it panic, and no key has another length.
func FuzzParse(f *testing.F) {
	f.Add([]byte(manyKeys(2)))
	f.Add([]byte("# x\n\nAAAA"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := Parse(data)
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d keys and %v", len(keys), err)
		}
	})
}
