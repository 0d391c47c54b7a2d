package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/klauspost/compress/zstd"
)

const root = "../.."

// buildPrograms builds the programs as the Makefile does, once.
var buildPrograms = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "vxlan-driver-programs-")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, "amd64")+"/", "./cmd/...")
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	build.Stderr = os.Stderr
	return dir, build.Run()
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, _ := buildPrograms(); dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// newBuild is a build of packages for amd64, in a copy of the source's lists and files.
func newBuild(t *testing.T) build {
	t.Helper()
	programs, err := buildPrograms()
	if err != nil {
		t.Fatal(err)
	}
	source, out := t.TempDir(), t.TempDir()
	// bin/share is written to.
	copyTree := exec.Command("sh", "-c",
		`tar -c go.mod go.sum LICENSE SECURITY.md packaging examples docs/user | tar -C "$0" -x`, source)
	copyTree.Dir = root
	if said, err := copyTree.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for _, name := range []string{"bash/vxlanctl", "zsh/_vxlanctl", "fish/vxlanctl.fish", "man/man1/vxlanctl.1.gz", "man/man8/vxland.8.gz"} {
		path := filepath.Join(source, "bin/share", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return build{root: source, programs: programs, out: out, version: "1.2.3", date: anyDate,
		archs: []string{"amd64"}, formats: []string{"deb", "rpm", "archlinux"}}
}

// What each format has, and as what. Everything is root's.
func TestContents(t *testing.T) {
	b := newBuild(t)
	modules, err := readModules(filepath.Join(b.programs, "amd64"))
	if err == nil {
		err = b.writeDocs(modules)
	}
	if err != nil {
		t.Fatal(err)
	}
	for format, own := range map[string]map[string]string{
		"deb": {
			"/usr/share/zsh/vendor-completions/_vxlanctl": "0644 file", "/usr/share/doc/vxlan-driver/copyright": "0644 file",
			"/usr/share/lintian/overrides/vxlan-driver": "0644 file", "/usr/share/doc/vxlan-driver/THIRD-PARTY-LICENSES.gz": "0644 file",
		},
		"rpm": {
			"/usr/share/zsh/site-functions/_vxlanctl": "0644 file", "/usr/share/licenses/vxlan-driver/LICENSE": "0644 license",
			"/usr/share/man/man1/vxlanctl.1.gz": "0644 doc", "/usr/share/man/man8/vxland.8.gz": "0644 doc", "/usr/share/selinux/packages/vxlan-driver.cil": "0644 file", "/usr/share/doc/vxlan-driver/THIRD-PARTY-LICENSES.gz": "0644 doc",
		},
		"archlinux": {"/usr/share/zsh/site-functions/_vxlanctl": "0644 file", "/usr/share/licenses/vxlan-driver/LICENSE": "0644 file"},
	} {
		want := map[string]string{
			"/usr/libexec/netavark/vxlan": "0755 file", "/usr/libexec/vxlan/vxland": "0755 file", "/usr/bin/vxlanctl": "0755 file",
			"/etc/vxlan": "0700 dir", "/etc/vxlan/vxland.toml": "0644 config|noreplace", "/etc/ufw/applications.d/podman-vxlan": "0644 config|noreplace",
			"/usr/lib/systemd/system/vxland.service":            "0644 file",
			"/usr/lib/systemd/system/vxland-wireguard@.service": "0644 file", "/usr/lib/systemd/system/vxland.socket": "0644 file",
			"/usr/lib/systemd/system/vxlan-reload@.service": "0644 file", "/usr/lib/systemd/system-preset/90-vxlan-driver.preset": "0644 file",
			"/usr/lib/tmpfiles.d/vxlan-driver.conf": "0644 file", "/usr/lib/modules-load.d/vxlan-driver.conf": "0644 file",
			"/usr/lib/systemd/network/05-vxlan-driver.link": "0644 file", "/usr/lib/systemd/network/05-vxlan-driver.network": "0644 file",
			"/usr/lib/NetworkManager/conf.d/vxlan-driver.conf": "0644 file", "/usr/lib/firewalld/services/podman-vxlan.xml": "0644 file",
			"/usr/share/bash-completion/completions/vxlanctl": "0644 file", "/usr/share/fish/vendor_completions.d/vxlanctl.fish": "0644 file",
			"/usr/share/man/man1/vxlanctl.1.gz": "0644 file", "/usr/share/man/man8/vxland.8.gz": "0644 file", "/usr/lib/systemd/catalog/vxlan-driver.catalog": "0644 file",
		}
		maps.Copy(want, own)
		got := describeContents(t, b, format)
		for path, as := range want {
			if got[path] != as {
				t.Errorf("%s: %s is %q, want %q", format, path, got[path], as)
			}
		}
		for path := range got {
			others := strings.Contains(path, "vendor-completions") && format != "deb" || strings.Contains(path, "selinux") && format != "rpm"
			if others || strings.HasPrefix(path, "/usr/local") || strings.HasPrefix(path, "/etc/NetworkManager") || strings.HasPrefix(path, "/etc/firewalld") {
				t.Errorf("%s has %s", format, path)
			}
		}
	}
}

// pagesDir is where packages have the pages for users, as messages and manual pages say.
const pagesDir = "/usr/share/doc/vxlan-driver/docs/user/"

// Each format has all pages for users, as they are in the source.
func TestPagesForUsersAreShipped(t *testing.T) {
	b := newBuild(t)
	pages, err := filepath.Glob(filepath.Join(root, "docs/user/*"))
	if err != nil || len(pages) < 20 {
		t.Fatalf("the source has the pages %v (%v)", pages, err)
	}
	for format, as := range map[string]string{"deb": "0644 file", "rpm": "0644 doc", "archlinux": "0644 file"} {
		dir := t.TempDir()
		info, err := b.describePackage(dir, format, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		sources := make(map[string]string)
		for _, c := range info.Contents {
			got := fmt.Sprintf("%04o %s", c.FileInfo.Mode, c.Type)
			if strings.HasPrefix(c.Destination, pagesDir) && got != as {
				t.Errorf("%s: %s is %q, want %q", format, c.Destination, got, as)
			}
			sources[c.Destination] = c.Source
		}
		for _, page := range pages {
			want, err := os.ReadFile(page)
			got, gotErr := os.ReadFile(sources[pagesDir+filepath.Base(page)])
			if err != nil || gotErr != nil || !bytes.Equal(got, want) {
				t.Errorf("%s has another %s, or none: %v, %v", format, filepath.Base(page), err, gotErr)
			}
		}
	}
}

// describeContents returns mode and type of each file and directory of a package. Files that are no
// programs may not know where `make install` would put them.
func describeContents(t *testing.T, b build, format string) map[string]string {
	t.Helper()
	info, err := b.describePackage(t.TempDir(), format, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, c := range info.Contents {
		got[c.Destination] = fmt.Sprintf("%04o %s", c.FileInfo.Mode, c.Type)
		if c.FileInfo.Owner != "root" || c.FileInfo.Group != "root" || !c.FileInfo.MTime.Equal(anyDate) {
			t.Errorf("%s: %s is %s:%s's, of %v", format, c.Destination, c.FileInfo.Owner, c.FileInfo.Group, c.FileInfo.MTime)
		}
		if c.Type == files.TypeDir || c.FileInfo.Mode&0o111 != 0 {
			continue
		}
		if strings.HasPrefix(c.Destination, pagesDir) {
			continue // they tell about both
		}
		if text, err := os.ReadFile(c.Source); err != nil || bytes.Contains(text, []byte("/usr/local")) {
			t.Errorf("%s: %s knows /usr/local (%v)", format, c.Destination, err)
		}
	}
	return got
}

// The programs need no library of the host.
func TestProgramsAreStatic(t *testing.T) {
	dir, err := buildPrograms()
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		file, err := elf.Open(filepath.Join(dir, "amd64", program))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		libraries, _ := file.ImportedLibraries()
		interpreted := slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
		if len(libraries) > 0 || interpreted {
			t.Errorf("%s needs %v", program, libraries)
		}
	}
}

// The bill of materials has all modules that the programs import, and their licences are in the
// package.
func TestBillOfMaterials(t *testing.T) {
	b := newBuild(t)
	modules, err := readModules(filepath.Join(b.programs, "amd64"))
	if err == nil {
		err = b.writeBOM("amd64", modules)
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(b.out, "vxlan-driver_1.2.3_amd64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(data), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	refs := make(map[string]bool)
	for _, c := range *bom.Components {
		refs[c.BOMRef] = true
	}
	for _, path := range requiredModules(t) {
		if !slices.ContainsFunc(*bom.Components, func(c cdx.Component) bool { return c.Name == path && c.Version != "" && c.Hashes != nil }) {
			t.Errorf("%s is not in the bill of materials", path)
		}
	}
	for _, d := range *bom.Dependencies {
		if len(*d.Dependencies) == 0 {
			t.Errorf("%s is made of nothing", d.Ref)
		}
		for _, ref := range *d.Dependencies {
			if !refs[ref] {
				t.Errorf("%s depends on %s, which is no component", d.Ref, ref)
			}
		}
	}
	var texts bytes.Buffer
	if err := writeLicences(&texts, b.root, modules); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"github.com/hashicorp/memberlist v", "Mozilla Public License", "std go1.", "The Go Authors"} {
		if !strings.Contains(texts.String(), want) {
			t.Errorf("no %q in the licences", want)
		}
	}
}

// newQuickBuild is of programs that are quickly compressed.
func newQuickBuild(t *testing.T) build {
	t.Helper()
	b := newBuild(t)
	b.programs = t.TempDir()
	if err := os.Mkdir(filepath.Join(b.programs, "amd64"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		if err := os.WriteFile(filepath.Join(b.programs, "amd64", program), []byte(program), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// All formats are written; here with programs that are quickly compressed. The names in an rpm's
// archive are relative: cpio follows absolute ones, and would put the files of an unpacked package
// onto the machine itself.
func TestPackagesAreWritten(t *testing.T) {
	b := newQuickBuild(t)
	for _, format := range b.formats {
		if err := b.writePackage(format, "amd64"); err != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
	packages, err := filepath.Glob(filepath.Join(b.out, "*"))
	if err != nil || len(packages) != 3 {
		t.Fatalf("written are %v (%v)", packages, err)
	}
	archive := rpmArchive(t, filepath.Join(b.out, "vxlan-driver-1.2.3-1.x86_64.rpm"))
	for _, name := range []string{"/usr/bin/vxlanctl", "/etc/vxlan/vxland.toml"} {
		if bytes.Count(archive, []byte("\x00."+name+"\x00")) != 1 || bytes.Contains(archive, []byte("\x00"+name+"\x00")) {
			t.Errorf("%s is not relative in the rpm's archive", name)
		}
	}
}

// rpmArchive returns the cpio archive of an rpm, in which a name follows a zero byte: it is behind a
// header whose last field, a checksum, is made one here.
func rpmArchive(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, frame, found := bytes.Cut(data, []byte{0x28, 0xb5, 0x2f, 0xfd}) // zstd's magic number
	if !found {
		t.Fatalf("%s has no archive", path)
	}
	unzip, err := zstd.NewReader(io.MultiReader(bytes.NewReader([]byte{0x28, 0xb5, 0x2f, 0xfd}), bytes.NewReader(frame)))
	if err != nil {
		t.Fatal(err)
	}
	defer unzip.Close()
	archive, err := io.ReadAll(unzip)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(archive, []byte("00000000"), []byte{0})
}

// requiredModules returns the other modules that the programs' packages are of.
func requiredModules(t *testing.T) []string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "./cmd/...")
	list.Dir = root
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	paths := strings.Fields(string(out))
	slices.Sort(paths)
	return slices.Compact(paths)
}

// Each file has its right sum, and none is missing.
func TestSums(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b.deb": "b", "a.rpm": "a"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeSums(dir); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, sumsFile))
	want := "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a.rpm\n3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d  b.deb\n"
	if err != nil || string(got) != want {
		t.Errorf("%v: got\n%s", err, got)
	}
}
