package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The packages are the same byte for byte, whoever builds them: in another directory, with other
// times, another umask and time zone, on another number of processors. REPRODUCE=full builds for both
// architectures, and the second time without what the first has compiled. That takes five minutes of
// a processor.
func TestPackagesAreReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("builds everything twice, which takes a minute: make test-packages")
	}
	full := os.Getenv("REPRODUCE") == "full"
	archs := "ARCHS=amd64"
	if full {
		archs = "ARCHS=amd64 arm64"
	}
	// Both are copied first, as the source may change meanwhile.
	here, there := copySource(t, "022"), copySource(t, "077")
	first := makePackages(t, here, "022", archs, "TZ=UTC", "GOMAXPROCS=2")
	other := []string{"TZ=Asia/Tokyo", "GOMAXPROCS=1", "LC_ALL=C", "HOSTNAME=other"}
	if full {
		other = append(other, "GOCACHE="+t.TempDir(), "GOMAXPROCS=4")
	}
	if second := makePackages(t, there, "077", archs, other...); second != first {
		t.Errorf("the first time\n%s\nthe second\n%s", first, second)
	}
}

// copySource returns a directory with a copy of the source.
func copySource(t *testing.T, umask string) string {
	t.Helper()
	source := t.TempDir()
	pack := exec.Command("sh", "-euc", `umask "$1"; tar -c --exclude ./bin --exclude ./.git . | tar -C "$2" -xm`, "sh", umask, source)
	pack.Dir = root
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("copy the source: %v\n%s", err, out)
	}
	return source
}

// makePackages builds packages in a copy of the source, and returns their sums.
func makePackages(t *testing.T, source, umask, archs string, env ...string) string {
	t.Helper()
	make := exec.Command("sh", "-euc", `umask "$1"; exec make packages VERSION=v1.2.3 SOURCE_DATE_EPOCH=1795942698 "$2"`, "sh", umask, archs)
	make.Dir = source
	make.Env = append(os.Environ(), env...)
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("make packages: %v\n%s", err, out)
	}
	sums, err := os.ReadFile(filepath.Join(source, "bin/packages", sumsFile))
	if err != nil {
		t.Fatal(err)
	}
	return string(sums)
}
