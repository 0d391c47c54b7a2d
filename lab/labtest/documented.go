package labtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vxlan-driver/lab"
)

// AsDocumented makes hosts those of the documents, so that commands and files can be used as they
// stand there: host-a has the address 192.168.1.10 and host-b 192.168.1.11, they have a default
// route, and images have the names of the registry's.
func AsDocumented(t testing.TB, l *lab.Lab) {
	t.Helper()
	for i, h := range l.Hosts() {
		Sh(t, h, fmt.Sprintf(`ip address add 192.168.1.%d/24 dev eth0
			ip route add default via 192.168.1.1
			podman tag localhost/web docker.io/library/nginx:alpine
			podman tag localhost/busybox docker.io/library/busybox:stable`, 10+i))
	}
}

// Example reads a file of the examples directory, with replacements: pairs of what stands in it,
// once, and what a test needs there.
func Example(t testing.TB, path string, replacements ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../examples", path))
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for i := 0; i < len(replacements); i += 2 {
		if strings.Count(text, replacements[i]) != 1 {
			t.Fatalf("examples/%s does not have %q once:\n%s", path, replacements[i], text)
		}
		text = strings.Replace(text, replacements[i], replacements[i+1], 1)
	}
	return []byte(text)
}
