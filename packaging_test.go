package vxlandriver

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each fuzz test is run by `make fuzz`: one that nobody runs finds nothing.
func TestMakeFuzzRunsAllFuzzTests(t *testing.T) {
	makefile := readFile(t, "Makefile")
	wire := regexp.MustCompile(`(?m)^WIREFUZZ = .*$`).FindString(makefile)
	declared := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	err := filepath.WalkDir("internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			run := regexp.MustCompile(`(?m)^\t.*\b` + m[1] + `\b.*\./` + regexp.QuoteMeta(filepath.Dir(path)) + `( |$)`)
			byList := strings.HasSuffix(filepath.Dir(path), "/gossip/wire") && strings.Contains(wire+" ", " "+m[1]+" ")
			if !byList && !run.MatchString(makefile) {
				t.Errorf("make fuzz does not run %s of %s", m[1], filepath.Dir(path))
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A message that names a page or another installed file has the place from internal/installed, and
// the file is there.
func TestMessagesNameInstalledFiles(t *testing.T) {
	for _, line := range []string{
		"644 docs/user/ share/doc/vxlan-driver/docs/user/\n", "755 bin/vxland libexec/vxlan/vxland\n",
		"755 bin/vxlan libexec/netavark/vxlan\n", "755 bin/vxlanctl bin/vxlanctl\n",
	} {
		if !strings.Contains(readFile(t, "packaging/files"), line) {
			t.Errorf("packaging/files lacks %q", line)
		}
	}
	comment, page := regexp.MustCompile(`(?m)//.*$`), regexp.MustCompile(`installed\.Page\("([\w-]+\.md)"\)`)
	fixed := regexp.MustCompile(`/usr/[\w/]*(share/doc/vxlan|libexec/vxlan|bin/vxlan)[\w/-]*`)
	found := 0
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
			isSource := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
			if err != nil || !isSource || strings.HasPrefix(path, "internal/docgen") {
				return err
			}
			text, err := os.ReadFile(path)
			code := comment.ReplaceAllString(string(text), "")
			for _, named := range page.FindAllStringSubmatch(code, -1) {
				found++
				if _, err := os.Stat(filepath.Join("docs/user", named[1])); err != nil {
					t.Errorf("%s names %s: %v", path, named[1], err)
				}
			}
			if named := fixed.FindString(code); named != "" && path != searchesPrograms {
				t.Errorf("%s names %s, whatever PREFIX is", path, named)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 4 {
		t.Errorf("found %d pages in messages", found)
	}
}

// searchesPrograms has the places where the agent may be, of whatever installation.
const searchesPrograms = "internal/agentapi/autostart.go"

// Programs and manual pages know below which directory the files are: /usr for packages.
func TestMakeLinksThePrefix(t *testing.T) {
	linked := regexp.MustCompile(`-X vxlan-driver/internal/installed\.prefix=([\w/]*)`)
	for want, args := range map[string][]string{
		"/usr": {"packages"}, "/usr/local": {"build", "install"}, "/opt/vxlan": {"install", "PREFIX=/opt/vxlan"},
	} {
		out, err := exec.Command("make", append([]string{"-n"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("make -n %v: %v\n%s", args, err, out)
		}
		all := linked.FindAllStringSubmatch(string(out), -1)
		if len(all) < 3 {
			t.Errorf("make %v sets the prefix %d times", args, len(all))
		}
		for _, one := range all {
			if one[1] != want {
				t.Errorf("make %v sets the prefix to %s, want %s", args, one[1], want)
			}
		}
	}
}

// What opens ports by a name opens all that a host needs.
func TestFirewallServicesOpenAllPorts(t *testing.T) {
	firewalld, ufw := readFile(t, "packaging/firewalld/podman-vxlan.xml"), readFile(t, "packaging/ufw/podman-vxlan")
	_, ports, _ := strings.Cut(strings.TrimSpace(ufw), "\nports=")
	opened := "|" + ports + "|"
	for _, want := range []struct{ port, protocol string }{{"4789", "udp"}, {"7947", "udp"}, {"7947", "tcp"}, {"7949", "tcp"}} {
		if !strings.Contains(firewalld, `<port protocol="`+want.protocol+`" port="`+want.port+`"/>`) {
			t.Errorf("firewalld's service does not open %s/%s", want.port, want.protocol)
		}
		// A port without a protocol is open for both.
		if !strings.Contains(opened, "|"+want.port+"|") && !strings.Contains(opened, "|"+want.port+"/"+want.protocol+"|") {
			t.Errorf("ufw's application does not open %s/%s", want.port, want.protocol)
		}
	}
}
