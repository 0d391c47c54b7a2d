package vxlandriver

import (
	"io/fs"
	"os"
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

// A message that names a page names it where packages put it, and the page is there.
func TestMessagesNameShippedPages(t *testing.T) {
	const dir = "/usr/share/doc/vxlan-driver/"
	if line := "644 docs/user/ share/doc/vxlan-driver/docs/user/\n"; !strings.Contains(readFile(t, "packaging/files"),
		line) {
		t.Errorf("packaging/files lacks %q", line)
	}
	comment, page := regexp.MustCompile(`(?m)//.*$`), regexp.MustCompile(`[\w/-]*docs/user/[\w-]+\.md`)
	found := 0
	for _, top := range []string{"internal", "cmd"} {
		err := filepath.WalkDir(top, func(path string, _ fs.DirEntry, err error) error {
			isSource := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go")
			if err != nil || !isSource || strings.HasPrefix(path, "internal/docgen") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, named := range page.FindAllString(comment.ReplaceAllString(string(text), ""), -1) {
				found++
				inSource, ok := strings.CutPrefix(named, dir)
				if _, statErr := os.Stat(inSource); !ok || statErr != nil {
					t.Errorf("%s names %s", path, named)
				}
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
