package survey

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/doctor"
)

func TestParseSysctls(t *testing.T) {
	const text = "# net.ipv4.ip_forward = 1\n; x = 1\n-net.ipv4.ip_forward=0\n net/ipv6/conf/eth0.7/disable_ipv6 = 1 \nnet.ipv4.conf.eth0/7.rp_filter = 2\nnonsense\n"
	want := []doctor.SysctlSetting{
		{Key: "net/ipv4/ip_forward", Value: "0", File: "f"}, {Key: "net/ipv6/conf/eth0.7/disable_ipv6", Value: "1", File: "f"},
		{Key: "net/ipv4/conf/eth0.7/rp_filter", Value: "2", File: "f"},
	}
	if got := ParseSysctls("f", text); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
}

// A file of the administrator replaces one of a package, and files are applied in the order of their
// names.
func TestSysctlPaths(t *testing.T) {
	etc, usr := t.TempDir(), t.TempDir()
	for _, path := range []string{etc + "/50-a.conf", usr + "/50-a.conf", usr + "/10-b.conf", etc + "/99-c.conf", etc + "/README"} {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{filepath.Join(usr, "10-b.conf"), filepath.Join(etc, "50-a.conf"), filepath.Join(etc, "99-c.conf")}
	if got := sysctlPaths([]string{etc, usr}); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// The files that are installed open the port on which hosts join. Those of an older version did not.
func TestLackingPort(t *testing.T) {
	for installed, path := range map[string]string{"../../../packaging/firewalld/podman-vxlan.xml": "/usr/lib/firewalld/services/podman-vxlan.xml", "../../../packaging/ufw/podman-vxlan": "/etc/ufw/applications.d/podman-vxlan"} {
		text, err := os.ReadFile(installed)
		if err != nil {
			t.Fatal(err)
		}
		if f, lacks := LackingPort(path, string(text)); lacks {
			t.Errorf("%+v", f)
		}
	}
	f, lacks := LackingPort("/etc/ufw/applications.d/podman-vxlan", "[podman-vxlan]\ntitle=VXLAN\nports=4789/udp|7947\n")
	if !lacks || f.Mend[0] != `sed -i 's/^ports=.*/&|7949\/tcp/' /etc/ufw/applications.d/podman-vxlan` {
		t.Errorf("%v, %+v", lacks, f)
	}
	if f, lacks := LackingPort("/x.xml", `<port protocol="tcp" port="7947"/>`); !lacks || f.Mend[0] != "firewall-cmd --permanent --service=podman-vxlan --add-port=7949/tcp" {
		t.Errorf("%v, %+v", lacks, f)
	}
}

// A list of containers.conf may have several lines, and what is printed makes a comment of it alone.
func TestContainersSetting(t *testing.T) {
	for text, want := range map[string]string{
		"[network]\nnetavark_plugin_dirs = [\n  \"/opt/a\",\n  \"/opt/b\",\n]\n[engine]\n": `[/opt/a /opt/b] [network] # netavark_plugin_dirs = [ #   "/opt/a", #   "/opt/b", # ] [engine]`,
		"netavark_plugin_dirs=[\"/opt/a\"]\n[engine]\n":                                    `[/opt/a] # netavark_plugin_dirs=["/opt/a"] [engine]`,
		"#netavark_plugin_dirs = [\"/opt/a\"]\n":                                           `[] #netavark_plugin_dirs = ["/opt/a"]`,
	} {
		path := filepath.Join(t.TempDir(), "containers.conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		set := readContainersList("netavark_plugin_dirs", []string{path})
		if set.Disable != "" {
			if out, err := exec.CommandContext(t.Context(), "sh", "-c", set.Disable).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
		now, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(set.Values) + " " + strings.TrimSpace(strings.ReplaceAll(string(now), "\n", " ")); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}
