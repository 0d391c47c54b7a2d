package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vxlan-driver/internal/hoststate"
)

// Networks on their way from or to etcd are defined there too.
func TestNetworksByEtcd(t *testing.T) {
	host := &hoststate.Host{NetworksDir: t.TempDir()}
	for name, options := range map[string]string{
		"a": `"discovery": "etcd"`, "b": `"discovery": "gossip", "discovery_also": "etcd"`, "c": `"discovery": "gossip"`,
		"d": `"mtu": "1400"`,
	} {
		text := `{"name": "` + name + `", "id": "` + name + `", "driver": "vxlan", "options": {` + options + `}}`
		if err := os.WriteFile(filepath.Join(host.NetworksDir, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := networksByEtcd(host, slog.New(slog.DiscardHandler)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
	var log bytes.Buffer
	host.NetworksDir = "[" // is no pattern
	if got := networksByEtcd(host, slog.New(slog.NewTextHandler(&log, nil))); len(got) != 0 ||
		!strings.Contains(log.String(), "cannot read this host's networks") {
		t.Errorf("got %v, logged %s", got, log.String())
	}
}
