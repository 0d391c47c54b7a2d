package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeFiles writes a configuration and the cluster's file beside it.
func writeFiles(t *testing.T, main, cluster string) Files {
	t.Helper()
	f := FilesAt(writeConfig(t, main))
	if err := os.WriteFile(f.ClusterPath, []byte(cluster), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// What the administrator wrote takes precedence over what vxlanctl wrote, and each setting says whence
// it is.
func TestSettingsOfTwoFiles(t *testing.T) {
	f := writeFiles(t, "port = 7000\nseeds = [\"192.0.2.9\"]\nkeep_running = false\n",
		"key_file = \"/etc/vxlan/key\"\nport = 7001\nseeds = [\"192.0.2.1\", \"192.0.2.2\"]\nkeep_running = true\n")
	settings, err := f.Settings()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range settings {
		if s.Source != SourceDefault {
			got = append(got, s.Name+" "+s.Value+" "+filepath.Base(s.Source))
		}
	}
	want := "port 7000 vxland.toml, key_file /etc/vxlan/key cluster.toml, seeds 192.0.2.9:7000 vxland.toml, keep_running false vxland.toml"
	if text := strings.Join(got, ", "); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if c, err := f.LoadSettings(); err != nil || c.Port != 7000 || c.KeepRunning || c.KeyFile != "/etc/vxlan/key" {
		t.Errorf("%+v, %v", c, err)
	}
}

// Each problem names the file in which it is.
func TestProblemsNameTheirFile(t *testing.T) {
	tests := []struct{ main, cluster, want string }{
		{"prot = 1\n", "port = 70000\n", "vxland.toml:1 prot, cluster.toml:1 port"},
		{"", "# head\nprot = 1\n", "cluster.toml:2 prot"},
		{"port = x", "# head\nport = y\n", "cluster.toml:2 port, vxland.toml:1 port"},
		{"bind = \"192.0.2.1\"\n", "", "vxland.toml:1 bind"},
		{"key_file = \"\"\n", "keep_running = true\n", "cluster.toml:1 keep_running"},
		{"port = 7000\n", "port = 70000\n", ""},
	}
	for _, tt := range tests {
		f := writeFiles(t, tt.main, tt.cluster)
		problems, err := f.Check()
		var got []string
		for _, p := range problems {
			got = append(got, fmt.Sprintf("%s:%d %s", filepath.Base(p.File), p.Line, p.Key))
		}
		if text := strings.Join(got, ", "); err != nil || text != tt.want {
			t.Errorf("%q, %q: %v: %s, want %s", tt.main, tt.cluster, err, text, tt.want)
		}
		_, err = f.Load()
		for _, file := range []string{f.Path, f.ClusterPath} {
			named := err != nil && strings.Contains(err.Error(), "configuration "+file+":\n")
			if named != strings.Contains(tt.want, filepath.Base(file)+":") {
				t.Errorf("%q, %q: the agent says %v", tt.main, tt.cluster, err)
			}
		}
	}
}

// Lines of the cluster's file are not doctor's to disable.
func TestLinesToDisableAreTheAdministrators(t *testing.T) {
	if lines := writeFiles(t, "prot = 1\n", "").LinesToDisable(); len(lines) != 1 {
		t.Errorf("got %v", lines)
	}
	if lines := writeFiles(t, "prot = 1\n", "port = 70000\n").LinesToDisable(); lines != nil {
		t.Errorf("got %v", lines)
	}
}

func TestExplainValid(t *testing.T) {
	f := writeFiles(t, "", "")
	if got := f.ExplainValid(); got != f.Path+" is valid" {
		t.Error(got)
	}
	if err := os.Remove(f.Path); err != nil {
		t.Fatal(err)
	}
	if got := f.ExplainValid(); got != f.ClusterPath+" is valid" {
		t.Error(got)
	}
	if err := os.Remove(f.ClusterPath); err != nil {
		t.Fatal(err)
	}
	if got := f.ExplainValid(); got != f.Path+" does not exist; all defaults hold" {
		t.Error(got)
	}
}
