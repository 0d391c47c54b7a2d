package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func readArchive(t *testing.T, data []byte) map[string]string {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for archive := tar.NewReader(zipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(text)
	}
}

func TestWriteSaysWhatIsMissing(t *testing.T) {
	part := func(name, text string, err error) Part {
		return Part{name, func(context.Context) ([]byte, error) { return []byte(text), err }}
	}
	parts := []Part{part("a", "all", nil), part("b", "half", errors.New("boom")), part("c", "", errors.New("bang")), part("d", "", nil)}
	var out bytes.Buffer
	missing, err := Write(t.Context(), &out, time.Unix(0, 0), parts, strings.ToUpper)
	if err != nil || strings.Join(missing, " ") != "b c" {
		t.Errorf("missing %v, %v", missing, err)
	}
	files := readArchive(t, out.Bytes())
	want := map[string]string{"a": "ALL", "b": "HALF", "d": "", "MISSING": "B: BOOM\nC: BANG\n"}
	for name, text := range want {
		if got, there := files[root+name]; !there || got != text {
			t.Errorf("%s has %q", name, got)
		}
	}
	if len(files) != len(want) {
		t.Errorf("got %v", files)
	}
}

func TestSecretsAreRemoved(t *testing.T) {
	key := bytes.Repeat([]byte{0xab, 0xcd, 0xfe, 0x17}, 8)
	other := bytes.Repeat([]byte{0x12, 0x34}, 16)
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("# my keys\n"+hex.EncodeToString(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	secrets := FindSecrets([]string{file, "/absent"}, []string{"VX_TOKEN=opensesame99", "HOME=/root", "SSH_KEY=/root/.ssh/id", "KEYS=1"})
	for _, secret := range []string{
		hex.EncodeToString(key), strings.ToUpper(hex.EncodeToString(key)), base64.StdEncoding.EncodeToString(key), base64.RawStdEncoding.EncodeToString(key),
		base64.StdEncoding.EncodeToString(other), // in no file
		"opensesame99", "vx1.MTkyLjAuMi4x.abc.def",
	} {
		for _, text := range []string{secret, "key=" + secret + ";", `{"a": "` + secret + `"}`, "x\n" + secret + "\ny"} {
			if got := secrets.Remove(text); strings.Contains(got, secret) || !strings.Contains(got, removed) {
				t.Errorf("%q becomes %q", text, got)
			}
		}
	}
	for _, text := range []string{"DB_PASSWORD=hunter2", `"secret": "hunter2"`, "api_key: 'hunter2'", "token = hunter2"} {
		if got := secrets.Remove(text); strings.Contains(got, "hunter2") {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	if got := secrets.Remove(`{"t": "vx1.a.b.c", "n": 1}`); got != `{"t": "(removed)", "n": 1}` {
		t.Errorf("the text behind a token is %q", got)
	}
	id := strings.Repeat("7c7b", 16) // of a network in Podman
	for _, text := range []string{"id " + id, "key_file /etc/vxlan/key", "/root/.ssh/id", "keys 1", "1a2b3c4d encrypts"} {
		if got := secrets.Remove(text); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

func TestAnonymize(t *testing.T) {
	a := NewAnonymizer()
	a.AddName("host", "host-a (198.18.0.1)")
	a.AddName("network", "blue")
	a.AddName("container", "web")
	a.AddName("container", "web-2")
	a.AddName("container", "WEB") // the same to DNS
	a.AddName("host", "198.18.0.9")
	a.AddName("host", "gate.example.org (198.18.0.7)")
	tests := []struct{ text, want string }{
		{"host-a (198.18.0.1), Host-A.198.18.0.1", "anon-host-1 (240.0.1.1), anon-host-1.240.0.1.1"},
		{"gate.example.org and gate", "anon-host-2 and anon-host-2"},
		{"br-vxlan-blue vxlan_blue blueish bluebird", "br-vxlan-anon-network-1 vxlan_anon-network-1 blueish bluebird"},
		{"web-2 web web2 webweb web", "anon-container-2 anon-container-1 web2 webweb anon-container-1"},
		{"198.18.0.2:4789 198.18.0.0/24 198.18.1.2-198.18.1.3", "240.0.1.2:4789 240.0.1.0/24 240.0.2.2-240.0.2.3"},
		{"[fd00:1::7]:7947 fd00:1::/64 fd00:2::7: x", "[100:0:0:3::7]:7947 100:0:0:3::/64 100:0:0:4::7: x"},
		{"fe80::a8bb:ccff:fedd:eeff%eth0", "fe80::1:0%eth0"},
		{"AA:bb:cc:dd:ee:ff aa:bb:cc:dd:ee:ff 02:aa:00:00:00:01", "02:00:5e:00:00:01 02:00:5e:00:00:01 02:00:5e:00:00:02"},
		{"chain port-aabbccddeeff { goto port-02360a07000a } aabbccddeeff", "chain port-02005e000001 { goto port-02005e000003 } aabbccddeeff"},
		{"00:00:00:00:00:00 127.0.0.1 0.0.0.0/0 :: ::1 239.1.1.1 ff02::1 255.255.255.0", "00:00:00:00:00:00 127.0.0.1 0.0.0.0/0 :: ::1 239.1.1.1 ff02::1 255.255.255.0"},
		{"12:30:45 1.2.3 5.4.2-1 a::b::c", "12:30:45 1.2.3 5.4.2-1 a::b::c"},
		{"::ffff:198.18.0.1", "::ffff:240.0.1.1"},
	}
	for _, tt := range tests {
		if got := a.Replace(tt.text); got != tt.want {
			t.Errorf("%s\nbecomes %s\nnot     %s", tt.text, got, tt.want)
		}
	}
}
