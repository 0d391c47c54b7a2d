package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"vxlan-driver/internal/cluster"
)

func TestEtcdSection(t *testing.T) {
	c, err := ParseSettings(`port = 7000
[etcd]
endpoints = ["https://192.0.2.1:2379", "https://etcd2.example:2379"]
ca = "/ca"
cert = "/cert"
key = "/key"
user = "vxlan"
password_file = "/password"
prefix = "/test/blue"
dial_timeout = "1s"
request_timeout = "3s"
lease = "20s"
vni_range = "5000-5009"
`)
	want := Etcd{Endpoints: []string{"https://192.0.2.1:2379", "https://etcd2.example:2379"},
		CA: "/ca", Cert: "/cert", Key: "/key", User: "vxlan", PasswordFile: "/password", Prefix: "/test/blue",
		DialTimeout: time.Second, RequestTimeout: 3 * time.Second, Lease: 20 * time.Second,
		VNIs: cluster.VNIRange{First: 5000, Last: 5009}}
	if err != nil || !reflect.DeepEqual(c.Etcd, want) || c.Port != 7000 {
		t.Errorf("got %+v, %v", c.Etcd, err)
	}
	if c, err := ParseSettings(""); err != nil || len(c.Etcd.Endpoints) > 0 || c.Etcd.Lease != 15*time.Second ||
		c.Etcd.VNIs.Last != 19999 {
		t.Errorf("without the section: %+v, %v", c.Etcd, err)
	}
}

// All problems are reported at once, each with its setting.
func TestEtcdProblems(t *testing.T) {
	const server = "endpoints = [\"https://a:1\"]\n"
	for text, want := range map[string][]string{
		`user = "x"`:                      {"etcd.endpoints: is required", "etcd.user: needs password_file too"},
		`endpoints = ["192.0.2.1:2379"]`:  {`etcd.endpoints "192.0.2.1:2379": must be https://HOST:PORT`},
		`endpoints = ["https://a"]`:       {`etcd.endpoints "https://a": must be`},
		`endpoints = ["https://a:1/x"]`:   {`etcd.endpoints "https://a:1/x": must be`},
		`endpoints = ["https://u:p@a:1"]`: {`must be https://HOST:PORT`},
		`endpoints = ["https://a:1", "http://b:1", "https://a:1"]`: {
			`"http://b:1": must be by https`, `"https://a:1": is repeated`},
		"endpoints = [\"http://a:1\"]\nca = \"/x\"": {`etcd.ca "/x": is for servers by https`},
		server + `cert = "x"`: {
			`etcd.cert "x": must be an absolute path`, "etcd.cert: needs key too"},
		server + `password_file = "/x"`: {"etcd.password_file: needs user too"},
		server + `prefix = "vxlan"`:     {`etcd.prefix "vxlan": must be`},
		server + `prefix = "/vxlan/"`:   {`etcd.prefix "/vxlan/": must be`},
		server + "lease = \"1s\"\ntime = 1": {
			`etcd.lease "1s": must be from 5s to 10m0s`, "etcd.time: is unknown; the settings of [etcd] are"},
		server + `request_timeout = "500ms"`: {
			`etcd.request_timeout "500ms": must be from 1s to 1m0s, such as "3.5s"`},
		server + `vni_range = "7"`:          {`etcd.vni_range "7": must be two numbers from 1 to 16777215, the lower first`},
		server + `vni_range = "0-9"`:        {`etcd.vni_range "0-9": must be`},
		server + `vni_range = "9-8"`:        {`etcd.vni_range "9-8": must be`},
		server + `vni_range = "1-99999999"`: {`etcd.vni_range "1-99999999": must be two numbers`},
		`endpoints = "https://a:1"`:         {`write it as in endpoints = ["https://192.168.1.10:2379"]`},
	} {
		_, err := ParseSettings("[etcd]\n" + text)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: got %v, want %s", text, err, w)
			}
		}
	}
}

// The files are looked at by who checks the configuration, and each problem names its line.
func TestEtcdFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text := fmt.Sprintf("[etcd]\nendpoints = [\"https://a:1\"]\nca = %q\ncert = %q\nkey = %q\nuser = \"u\"\n"+
		"password_file = %q\n", file("ca", "x", 0o644), file("cert", "x", 0o644), file("key", "x", 0o644),
		filepath.Join(dir, "absent"))
	if _, err := ParseSettings(text); err != nil {
		t.Errorf("an agent follows the files: %v", err)
	}
	problems, err := Files{Path: file("vxland.toml", text, 0o644), Required: true}.Check()
	want := map[string]int{"etcd.ca": 3, "etcd.key": 5, "etcd.cert": 4, "etcd.password_file": 7}
	if err != nil || len(problems) != len(want) {
		t.Errorf("got %+v, %v", problems, err)
	}
	for _, p := range problems {
		if want[p.Key] != p.Line {
			t.Errorf("got %+v", p)
		}
	}
}
