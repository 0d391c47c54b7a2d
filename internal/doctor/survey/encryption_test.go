package survey

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKeyFilesOthersCanRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root owns such files")
	}
	dir := filepath.Join(t.TempDir(), "wireguard")
	file := filepath.Join(dir, "7c7b.json")
	for _, err := range []error{os.Mkdir(dir, 0o700), os.WriteFile(file, nil, 0o600)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if found := unsafeKeyFiles(dir); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if found := unsafeKeyFiles(dir); len(found) != 1 || found[0].Path != file || found[0].Mode != "0640, of user 0" ||
		found[0].Mend != "600" {
		t.Errorf("found %+v", found)
	}
	if err := os.Chown(file, 65534, -1); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if found := unsafeKeyFiles(dir); len(found) != 2 || found[0].Mend != "700" || found[1].Mode != "0640, of user 65534" {
		t.Errorf("found %+v", found)
	}
	if found := unsafeKeyFiles(filepath.Join(dir, "none")); len(found) > 0 {
		t.Errorf("found %+v", found)
	}
}
