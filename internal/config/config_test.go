package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
	"vxlan-driver/internal/cluster/gossip"
)

// writeKeyFile writes a key and returns the setting that names the file.
func writeKeyFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(strings.Repeat("1f", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("key_file = %q\n", path)
}

// The firewall keeps containers from the agents' port on VTEPs' addresses only, so without a key
// agents use those.
func TestBindNeedsKeyFile(t *testing.T) {
	if _, err := Parse(`bind = "192.0.2.1"`); err == nil || !strings.Contains(err.Error(), "needs a key_file") {
		t.Errorf("got %v", err)
	}
}

func TestPortsMustDiffer(t *testing.T) {
	for _, text := range []string{"join_port = 7947", "port = 7949", "join_port = 0", "join_port = 65536"} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "join_port") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestParseReadsEverySetting(t *testing.T) {
	c, err := Parse(writeKeyFile(t) + `bind = "192.0.2.1"
port = 7000
cluster = "blue"
seeds = ["192.0.2.2", "[2001:db8::1]:7001"]
forget_after = "2h"
log_level = "debug"
dns_upstreams = ["192.0.2.53"]
keep_running = true
join_port = 7001
rotate_keys = false
ebpf = false
encryption_rotate_after = "48h"
metrics = "127.0.0.1:7948"
allow_users = ["nobody", 1000]`)
	if err != nil {
		t.Fatal(err)
	}
	c.KeyFile = ""
	want := Config{
		Bind: netip.MustParseAddr("192.0.2.1"), Port: 7000, Cluster: "blue",
		Seeds:       []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:7000"), netip.MustParseAddrPort("[2001:db8::1]:7001")},
		ForgetAfter: 2 * time.Hour, LogLevel: -4, Upstreams: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")},
		KeepRunning: true, JoinPort: 7001, EncryptionRotateAfter: 48 * time.Hour,
		Metrics: Endpoint{"tcp", "127.0.0.1:7948"}, AllowUsers: []string{"nobody", "1000"},
		Etcd: etcdDefaults,
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestParseReportsAllProblemsAtOnce(t *testing.T) {
	_, err := Parse(`bind = "0.0.0.0"
port = 70000
seeds = ["host"]
forget_after = "1s"
log_level = "loud"
keyfile = "x"
key_file = "/nonexistent"`)
	for _, want := range []string{"bind", "port 70000", "seeds", "forget_after", "log_level", "keyfile: is unknown", "key_file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

// An error of the file's syntax says what to write.
func TestParseSaysHowToWriteASetting(t *testing.T) {
	for text, want := range map[string]string{
		"\nport = \"7947\"":           `line 2, port = "7947": incompatible types: TOML value has type string; destination has type integer; write it as in port = 7947`,
		`seeds = "10.0.0.1"`:          `write it as in seeds = ["192.168.1.10", "192.168.1.11"]`,
		"seeds = [\n1]":               `line 1, seeds = [: `,
		`bind = 192.168.1.1`:          `write it as in bind = "192.168.1.10"`,
		`forget_after = 24h`:          `write it as in forget_after = "24h"`,
		`log_level = debug`:           `write it as in log_level = "info"`,
		`cluster = true`:              `write it as in cluster = "vxlan"`,
		`key_file = /etc/vxlan/key`:   `write it as in key_file = "/etc/vxlan/key"`,
		`dns_upstreams = "192.0.2.1"`: `write it as in dns_upstreams = ["192.168.1.1"]`,
		"port: 7947":                  `line 1, port: 7947: expected '.' or '=', but got ':' instead; write it as in port = 7947`,
		"port = 1\nport = 2":          `line 2, port = 2: Key 'port' has already been defined.`,
		"[vxland]\nport = 1":          `[vxland]: is unknown; the only section is [etcd]`,
		"=":                           `line 1, =: `,
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got  %v\nwant %s", text, err, want)
		}
	}
}

// Each setting has an example, which is right.
func TestExamplesParse(t *testing.T) {
	for key, example := range examples {
		if key == "key_file" || key == "bind" {
			example = strings.Replace(example, "/etc/vxlan/key", "/none", 1)
		}
		if key == "keep_running" {
			example = writeKeyFile(t) + example
		}
		if strings.HasPrefix(key, "etcd.") {
			if key != "etcd.endpoints" {
				example = examples["etcd.endpoints"] + "\n" + example
			}
			if _, err := ParseSettings("[etcd]\n" + example); err != nil && !strings.Contains(err.Error(), "needs ") {
				t.Errorf("%s: %v", example, err)
			}
			continue
		}
		if _, err := Parse(example); err != nil && key != "key_file" && key != "bind" {
			t.Errorf("%s: %v", example, err)
		} else if err != nil && strings.Contains(err.Error(), "write") {
			t.Errorf("%s: %v", example, err)
		}
	}
	if len(shown)+1 != len(examples) { // and the section's head
		t.Errorf("%d settings and %d examples", len(shown), len(examples))
	}
}

func TestParseRefusesPortZero(t *testing.T) {
	if c, err := Parse("port = 0"); err == nil || !strings.Contains(err.Error(), "port 0: must be from 1") {
		t.Errorf("got %+v, %v", c, err)
	}
}

// FuzzParse: every configuration that Parse accepts works for the agent.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", `bind = "192.0.2.1"`, `bind = "fe80::1%eth0"`, `bind = "::ffff:192.0.2.1"`, "port = 7000", "port = -1", `cluster = ""`,
		`seeds = ["192.0.2.2", "[2001:db8::1]:7001"]`, `seeds = ["::ffff:192.0.2.1"]`, `seeds = ["fe80::2%eth0"]`, `dns_upstreams = ["fe80::1%eth0"]`, `forget_after = "2h"`, `forget_after = "9999999h"`, `log_level = "debug"`, `log_level = "INFO+3"`,
		`dns_upstreams = ["192.0.2.53:0"]`, "[bind]", "a.b = 1", "port = 1\nport = 2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "key_file") {
			return // it would read files
		}
		c, err := Parse(text)
		if err != nil {
			return
		}
		bind := c.Bind
		if !bind.IsValid() {
			bind = netip.MustParseAddr("192.0.2.1")
		}
		_, err = gossip.New(gossip.Config{
			Host: gossip.NewLocalHost(cluster.HostID{1}, "host"), Bind: netip.AddrPortFrom(bind, c.Port), Seeds: c.Seeds, Label: c.Cluster, ForgetAfter: c.ForgetAfter,
		})
		if err != nil {
			t.Errorf("%q is accepted, and then: %v", text, err)
		}
		for _, seed := range c.Seeds {
			if seed.Addr().Zone() != "" {
				t.Errorf("%q: seed %v", text, seed)
			}
		}
		for _, ap := range append(c.Seeds, c.Upstreams...) {
			if !ap.IsValid() || ap.Port() == 0 || ap.Addr().Is4In6() {
				t.Errorf("%q: address %v", text, ap)
			}
		}
	})
}

func TestLoadOfMissingFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "x.toml")
	if c, err := (Files{Path: missing}).Load(); err != nil || c.Port != 7947 {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, err := FilesAt(missing).Load(); !os.IsNotExist(pathError(err)) {
		t.Errorf("got %v", err)
	}
}

func pathError(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err
		}
		if _, isPath := err.(*os.PathError); isPath {
			return err
		}
		err = u.Unwrap()
	}
}
