package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseReadsAllThatCanBeSaid(t *testing.T) {
	c, err := Parse(`bind = "192.0.2.1"
port = 7000
cluster = "blue"
seeds = ["192.0.2.2", "[2001:db8::1]:7001"]
forget_after = "2h"
log_level = "debug"
dns_upstreams = ["192.0.2.53"]`)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Bind: netip.MustParseAddr("192.0.2.1"), Port: 7000, Cluster: "blue",
		Seeds:       []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:7000"), netip.MustParseAddrPort("[2001:db8::1]:7001")},
		ForgetAfter: 2 * time.Hour, LogLevel: -4, Upstreams: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.53:53")},
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

func TestLoadOfNoFile(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "x.toml")
	if c, err := Load(missing, false); err != nil || c.Port != 7947 {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, err := Load(missing, true); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("got %v", err)
	}
}

func unwrapAll(err error) error {
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
